"""A small data set whose users are recommended to, and a run killed among them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any


class Killed(BaseException):
    """A kill, as far as the process lives to notice."""


def killed_after(num_users: int) -> Any:
    def progress(steps: Iterable[int], label: str, total: int | None = None) -> Iterator[int]:
        for done, step in enumerate(steps):
            if label == "recommending" and done == num_users:
                raise Killed
            yield step

    return progress


def write_visits(folder: Path, num_users: int, further: Sequence[tuple[str, str, int]] = (), **settings: str) -> Path:
    """Write a data set whose user n went from item-n to item-(n + 2); `further` are (user, item, position)."""
    folder.mkdir()
    items = [f"item-{number}" for number in range(20)]
    steps = [(f"user-{user:02}", f"item-{user + step}", step) for user in range(num_users) for step in range(3)]
    (folder / "items.csv").write_text("\n".join(["item_id,title", *(f"{one},Thing {one}" for one in items)]))
    rows = [f"{user_id},{item_id},{position}" for user_id, item_id, position in [*steps, *further]]
    (folder / "visits.csv").write_text("\n".join(["user_id,item_id,position", *rows]))
    (folder / "dataset.toml").write_text(
        'name = "shop"\n[items]\nfile = "items.csv"\ntexts = ["title"]\n'
        '[interactions]\nfile = "visits.csv"\nposition = "position"\n'
        + "".join(f"{name} = {value}\n" for name, value in settings.items())
    )
    return folder
