"""Fetch the pictures that a dataset names by url into a folder beside it, once. Start at `fetch_pictures`.

`pictures/` holds a file per url, named by the url's SHA-256, and manifest.jsonl, which lists them. Failures are listed
in failed.csv and tried again by the next run.
"""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clairo_core.encoders.pictures import decode_picture
from clairo_core.errors import ContentError, DatasetError, SettingsError
from clairo_core.progress import Progress, silent
from clairo_core.values.counted import counted
from clairo_core.values.public_addresses import is_public
from training.datasets import describe_dataset
from training.datasets.items_table import read_picture_cells
from training.datasets.pictures.picture_fetcher import FetchError, MayConnectTo, fetch_all, parse_url
from training.datasets.pictures.picture_urls import FETCHED_FOLDER, fetched_picture, first_url

_SHORTEST_SIDE = 128
"""Large JPEGs are read to the end, but decoded at reduced size."""
_NOT_A_URL = "not a url"


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a run did; its text is the printed summary."""

    folder: Path
    num_fetched: int
    num_present: int
    """Fetched by earlier runs."""
    left_out: Counter[str]
    """Pictures by host that was not listed."""
    problems: Counter[str]
    """Failed pictures by kind of problem."""

    def __str__(self) -> str:
        lines = [
            f"{counted(self.num_fetched, 'picture')} fetched, {self.num_present:,} already there, in {self.folder}"
        ]
        if self.left_out:
            lines += ["left out, on hosts that were not listed:", *_table(self.left_out)]
        if self.problems:
            lines += [f"failed, listed in {self.folder / 'failed.csv'}:", *_table(self.problems)]
            lines.append('run again to retry, or set unreadable_pictures = "drop" in [items] to train without them')
        return "\n".join(lines)


class PictureUrls:
    """The distinct urls of a dataset's items, by host."""

    def __init__(self, source: Path, progress: Progress = silent) -> None:
        """Read the column of pictures.

        Raises:
            DatasetError: the dataset cannot be read, or has no picture by url.
        """
        description = describe_dataset(source)
        self.folder = description.items.picture_folder
        item_ids, cells = read_picture_cells(description, progress)
        self.item_of: dict[str, str] = {}
        """Url to the first item that has it."""
        for item_id, cell in zip(item_ids, cells, strict=True):
            url = first_url(cell) if isinstance(cell, str) else None
            if url is not None:
                self.item_of.setdefault(url, item_id)
        if not self.item_of:
            raise DatasetError(f"{source}: no item has a picture by url; name a column of urls as picture in [items]")
        self.hosts = {url: _origin(url) for url in self.item_of}

    def table(self) -> str:
        """Hosts and their numbers of urls, most first."""
        return "\n".join(_table(Counter(self.hosts.values())))


def fetch_pictures(
    urls: PictureUrls,
    hosts: Sequence[str],
    *,
    may_connect_to: MayConnectTo = is_public,
    progress: Progress = silent,
) -> FetchReport:
    """Fetch every url on a listed host that has no file yet, and keep what can be decoded.

    Raises:
        SettingsError: a host is malformed, or no url is on a listed host.
        OSError: the folder cannot be written.
    """
    listed = {_listed_host(host) for host in hosts}
    on_host = {url: host in listed or f"http://{host}" in listed for url, host in urls.hosts.items()}
    if not any(on_host.values()):
        raise SettingsError(f"--host {', '.join(hosts)}: no picture is there; the hosts are\n{urls.table()}")
    folder = urls.folder / FETCHED_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [url for url, is_listed in on_host.items() if is_listed]
    missing = [url for url in wanted if not fetched_picture(urls.folder, url).is_file()]
    failed: list[tuple[str, str, str]] = []
    with (
        (folder / "manifest.jsonl").open("a", encoding="utf-8") as manifest,
        closing(fetch_all(missing, listed, may_connect_to=may_connect_to)) as outcomes,
    ):
        for url, outcome in progress(outcomes, "fetching pictures", len(missing)):
            try:
                content = _checked(outcome)
            except (FetchError, ContentError) as error:
                kind = "" if isinstance(error, FetchError) else "not a picture: "
                failed.append((urls.item_of[url], url, f"{kind}{error}"))
                continue
            file = fetched_picture(urls.folder, url)
            partial = folder / ".partial"
            partial.write_bytes(content)
            partial.replace(file)
            manifest.write(json.dumps({"url": url, "file": file.name, "bytes": len(content)}) + "\n")
            manifest.flush()
    _write_failed(folder / "failed.csv", failed)
    return FetchReport(
        folder=folder,
        num_fetched=len(missing) - len(failed),
        num_present=len(wanted) - len(missing),
        left_out=Counter(urls.hosts[url] for url, is_listed in on_host.items() if not is_listed),
        problems=Counter(problem.partition(":")[0] for _, _, problem in failed),
    )


def _origin(url: str) -> str:
    try:
        return parse_url(url).origin
    except FetchError:
        return _NOT_A_URL


def _listed_host(text: str) -> str:
    """`HOST`, `http://HOST`, each with a port if it is not the scheme's own, as `Address.origin` writes it."""
    url = text.strip() if "://" in text else f"https://{text.strip()}"
    try:
        address, parts = parse_url(url), urlsplit(url)
    except FetchError:
        address = None
    if address is None or parts.path not in ("", "/") or parts.query:
        raise SettingsError(f"--host {text}: expected HOST or http://HOST, such as cdn.example.com")
    return address.origin


def _checked(outcome: bytes | FetchError) -> bytes:
    if isinstance(outcome, FetchError):
        raise outcome
    decode_picture(outcome, shortest_side=_SHORTEST_SIDE)
    return outcome


def _write_failed(path: Path, failed: Sequence[tuple[str, str, str]]) -> None:
    if not failed:
        path.unlink(missing_ok=True)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("item_id", "url", "problem"), *failed])


def _table(counts: Counter[str]) -> list[str]:
    return [f"{count:>9,}  {name}" for name, count in counts.most_common()]
