"""Run the commands of a page of documentation one after another, in a folder that has what the page takes for granted.

Start at `Reader.follow`.
"""

import re
import shlex
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

from clairo_core.bundle.manifest import read_manifest
from tests.documented_commands import ShellCommand
from tests.fresh_processes import fresh_process
from tests.object_storage import running_storage
from tests.readers_shop import link_pictures, sized, write_database
from tests.redis_server import running_redis

ADDRESS = "http://127.0.0.1:8000"
POSTGRES = "postgresql+psycopg://..."


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, *_: Any) -> None:
        pass


class Reader:
    """Somebody who runs a page's commands in a folder, and has what the page takes for granted."""

    def __init__(self, folder: Path, fixture: Callable[[str], Any]) -> None:
        """`fixture` gets a fixture by name: servers start for those who need them."""
        self.folder, self.fixture = folder, fixture
        self.variables: dict[str, str] = {}
        self.values: dict[str, str] = {}
        """What to write in place of parts of words."""
        self.url = ""
        self.leaving = ExitStack()
        self.service: ExitStack = self.leaving.enter_context(ExitStack())

    def follow(self, command: ShellCommand) -> None:
        """Run a command; a service runs on."""
        text = shlex.join(command.words)
        for beginning, prepare in PREPARED.items():
            if re.match(beginning, text):
                prepare(self)
        words = [self.replaced(word) for word in command.words]
        variables = dict(self.replaced(variable).split("=", 1) for variable in command.variables)
        if words[0] == "export":
            self.variables |= dict(word.split("=", 1) for word in words[1:])
        elif words[:2] == ["clairo-serve", "run"]:
            self.serve(words, variables)
        else:
            self.run(words, variables)

    def replaced(self, word: str) -> str:
        for name, value in self.values.items():
            word = word.replace(name, value)
        return word

    def run(self, words: list[str], variables: dict[str, str]) -> None:
        """Run a command to its end. It must succeed, and write what `--out` names."""
        out = self.folder / words[words.index("--out") + 1] if "--out" in words else None
        if out is not None:
            # Pages write the same folders, and commands refuse to replace some.
            shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
        chosen = sized(words) if words[0] == "clairo-train" else words
        with fresh_process(chosen, self.folder, self.variables | variables) as process:
            code = process.wait()
        assert code == 0, f"{shlex.join(words)}\n{process.output}"
        assert out is None or out.exists(), f"{shlex.join(words)} wrote no {out}\n{process.output}"
        if words[:3] == ["clairo-serve", "keys", "create"]:
            self.values["clairo_..."] = process.output.split()[-1]

    def serve(self, words: list[str], variables: dict[str, str]) -> None:
        """Start a service in place of the one before, and wait until it is ready."""
        self.service.close()
        small = ["--port", "0", "--device", "cpu", "--num-views", "2", "--num-beams", "20"]
        process = self.service.enter_context(fresh_process([*words, *small], self.folder, self.variables | variables))
        self.url = process.wait_for(r"Playground: (http://\S+)/")
        self.values[ADDRESS] = self.url
        httpx.get(f"{self.url}/health/ready").raise_for_status()

    # What pages take for granted:

    def with_postgres(self) -> None:
        if POSTGRES in self.values:
            return
        url = self.fixture("postgres").new_database()
        self.values |= dict.fromkeys((POSTGRES, "postgresql+psycopg://user:password@host/clairo"), url)

    def with_redis(self) -> None:
        self.values["redis://host:6379/0"] = self.leaving.enter_context(running_redis(self.folder)).url

    def with_storage(self) -> None:
        if self.values.get("s3://shop-bundles"):
            return
        storage = self.leaving.enter_context(running_storage(self.folder / "storage"))
        bucket, options = storage.url.split("/bundles?")
        self.values |= {"s3://shop-bundles": bucket, "region=eu-central-1": options}

    def with_tables_in_sql(self) -> None:
        url = write_database(self.fixture("postgres"), self.folder / "shop")
        self.values["postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"] = url

    def with_pictures_by_url(self) -> None:
        pictures = self.folder / "cdn"
        if pictures.exists():
            return
        server = self.leaving.enter_context(
            ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(pictures)))
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.leaving.callback(server.shutdown)
        host = f"http://127.0.0.1:{server.server_port}"
        link_pictures(self.folder / "shop", host, pictures)
        self.values["cdn.example.com"] = host

    def with_another_bundle(self) -> None:
        self.values["shop-919bc58e624e"] = read_manifest(self.folder / "bundles" / "demo").bundle_id

    def with_a_service(self) -> None:
        """One that has been used for a while."""
        if not self.url:
            self.with_postgres()
            self.variables["CLAIRO_DATABASE_URL"] = self.values[POSTGRES]
            self.run(["clairo-serve", "migrate"], {})
            self.serve(["clairo-serve", "run", "--bundle", "bundles/shop", "--bundles-dir", "bundles"], {})
        rows = pq.read_table(self.folder / "demo" / "shop" / "interactions.parquet").to_pylist()
        oldest, start = min(row["timestamp"] for row in rows), time.time() - 3600
        newest = max(row["timestamp"] for row in rows)
        events = [
            {
                "event_id": f"{place}",
                "user_id": row["user_id"],
                "item_id": row["item_id"],
                "type": "purchase",
                "timestamp": start + 3600 * (row["timestamp"] - oldest) / (newest - oldest),
            }
            for place, row in enumerate(rows)
        ]
        httpx.post(f"{self.url}/feedback", json={"events": events}, timeout=60).raise_for_status()

    def with_an_admin_key(self) -> None:
        self.run(["clairo-serve", "keys", "create", "--name", "retrain", "--scope", "admin"], {})
        (self.folder / "admin.key").write_text(self.values["clairo_..."], encoding="utf-8")

    def with_a_placement(self) -> None:
        key = {"Authorization": f"Bearer {self.values['clairo_...']}"}
        httpx.put(f"{self.url}/placements/newsletter", json={"limit": 3}, headers=key).raise_for_status()


PREPARED: dict[str, Callable[[Reader], None]] = {
    ".*--database-url postgresql": Reader.with_postgres,
    ".*--redis-url": Reader.with_redis,
    ".*s3://shop-bundles": Reader.with_storage,
    "export CLAIRO_DATA_URL": Reader.with_tables_in_sql,
    "clairo-train fetch-pictures": Reader.with_pictures_by_url,
    "clairo-serve run .*--bundles-dir": Reader.with_another_bundle,
    "clairo-train run --data service": Reader.with_a_service,
    ".*--promote-key-file": Reader.with_an_admin_key,
    "clairo-train recommend http": Reader.with_a_placement,
}
"""By the beginnings of commands, what comes before them."""
