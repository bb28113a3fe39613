"""Kill `clairo-serve import` in the middle, and run it again: every event once. Start at `kill_import`."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.shop.running_shop import Shop

NUM_EVENTS, NUM_USERS, NUM_ITEMS = 30_000, 1000, 300
"""Three transactions: the kill comes after the first, and before the last."""
USERS = "imported-"
FIRST_AT = 1_600_000_000
IMPORT_SECONDS = 300


async def kill_import(shop: Shop) -> str:
    """Import events of new users, kill the command after its first transaction, and import again.

    Raises:
        SystemExit: an event of a committed transaction is lost, or one is stored twice or not at all.
    """
    with TemporaryDirectory(dir=shop.data_dir) as folder:
        data = write_events(Path(folder))
        first = _import(shop, data)
        num_seen = await _wait_for_events(shop, first)
        first.kill()
        await asyncio.to_thread(first.communicate)
        num_kept = await _num_stored(shop)
        second = _import(shop, data)
        printed, _ = await asyncio.to_thread(second.communicate, timeout=IMPORT_SECONDS)
    num_stored = await _num_stored(shop)
    is_resumed = second.returncode == 0 and f"{NUM_EVENTS - num_kept:,} of them new" in printed
    if not (num_seen <= num_kept < NUM_EVENTS == num_stored and is_resumed):
        raise SystemExit(
            f"an import of {NUM_EVENTS:,} events: {num_seen:,} seen, {num_kept:,} kept after the kill, {num_stored:,} "
            f"stored by the next one, which ended with {second.returncode}: {printed}"
        )
    return f"{num_kept:,} of {NUM_EVENTS:,} events kept, the others added by the next import, none twice"


def write_events(folder: Path) -> Path:
    """Write a data set of `NUM_EVENTS` different events."""
    items = ["item_id,title", *(f"i-{item},Thing {item}" for item in range(NUM_ITEMS))]
    events = [
        f"{USERS}{number % NUM_USERS},i-{number // NUM_USERS},{FIRST_AT + number},view" for number in range(NUM_EVENTS)
    ]
    (folder / "items.csv").write_text("\n".join(items), encoding="utf-8")
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp,type", *events]), encoding="utf-8")
    (folder / "dataset.toml").write_text(
        '[items]\nfile = "items.csv"\ntexts = ["title"]\n'
        '[interactions]\nfile = "interactions.csv"\ntimestamp = "timestamp"\ntype = "type"\n',
        encoding="utf-8",
    )
    return folder


def _import(shop: Shop, data: Path) -> "subprocess.Popen[str]":
    # A killed command leaves its table behind: in the shop's folder, not in the machine's.
    environment = os.environ | {"CLAIRO_DATABASE_URL": shop.database_url, "TMPDIR": str(data)}
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli", "import", str(data)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def _wait_for_events(shop: Shop, importing: "subprocess.Popen[str]") -> int:
    """Wait until a transaction of the import is committed. Returns the number of events seen."""
    while importing.poll() is None:
        if num_seen := await _num_stored(shop):
            return num_seen
        await asyncio.sleep(0.01)
    raise SystemExit(f"an import ended before it was killed: {importing.communicate()[0]}")


async def _num_stored(shop: Shop) -> int:
    """Number of the imported events in the store; one stored twice under two ids would count twice."""
    query = f"SELECT count(*) FROM feedback_events WHERE user_id LIKE '{USERS}%'"
    ((number,),) = await asyncio.to_thread(shop.rows_of, query)
    return int(number)
