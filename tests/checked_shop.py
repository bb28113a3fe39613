"""A small shop without faults, and lines to add to it that have some."""

from pathlib import Path

from PIL import Image

from training.datasets.check import check_dataset

ITEMS = ["sku,title,price,photo", *(f"p-{row},Cup {row},{row + 1}.50,p-{row}.png" for row in range(6))]
EVENTS = [
    "user,sku,at,kind",
    *(
        f"u-{user},p-{(user + place) % 6},{1_700_000_000 + 100 * user + place},{'purchase' if place == 2 else 'view'}"
        for user in range(4)
        for place in range(3)
    ),
]
DESCRIPTION = """
[items]
file = "items.csv"
item_id = "sku"
texts = ["title"]
attributes = ["price"]
picture = "photo"
picture_folder = "photos"

[interactions]
file = "events.csv"
user_id = "user"
item_id = "sku"
timestamp = "at"
type = "kind"

[events]
purchase = 1.0
view = 0.2
"""


def write_shop(
    folder: Path, items: tuple[str | bytes, ...] = (), events: tuple[str | bytes, ...] = (), toml: str = DESCRIPTION
) -> Path:
    """Six cups with pictures and twelve events without a fault, in lines 2 to 7 and 2 to 13; then the lines given."""
    (folder / "photos").mkdir()
    for row in range(6):
        Image.new("RGB", (8, 8), (40 * row, 90, 30)).save(folder / "photos" / f"p-{row}.png")
    for name, sound, further in (("items.csv", ITEMS, items), ("events.csv", EVENTS, events)):
        lines = [line.encode() if isinstance(line, str) else line for line in (*sound, *further)]
        (folder / name).write_bytes(b"\n".join(lines) + b"\n")
    (folder / "dataset.toml").write_text(toml)
    return folder


def faults_of(folder: Path, *, decode_all: bool = False) -> list[str]:
    return [str(fault) for fault in check_dataset(folder, decode_all=decode_all).faults]
