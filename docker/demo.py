"""Start the demo with compose, use it, kill and restart each part, stop and start it again; print a transcript.

    python docker/demo.py                                  # with `docker compose`
    python docker/demo.py --compose "podman-compose"       # another compose
    python docker/demo.py --no-build --keep                # images exist; leave it running
    python docker/demo.py --no-build --retrain             # the train profile too; takes minutes

Exits with 1 at the first failed expectation.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clairo_client import CLAIRO, ProblemError

URL = "http://127.0.0.1:8000"
PROJECT = Path(__file__).resolve().parents[1]
READY_SECONDS = 60
PATIENCE_SECONDS = 300
NUM_SHOPPERS = 400
SHOPPERS_A_CALL = 100
NUM_STEPS = 6
WALKED_ITEMS = 200
STARTED_AT = time.monotonic()


class Demo:
    """The demo's containers and a client of its service."""

    def __init__(self, compose: str, url: str) -> None:
        self._compose = shlex.split(compose)
        self.client = CLAIRO(url, timeout_seconds=30, max_attempts=1)

    def compose(self, *arguments: str) -> str:
        """Run a compose command and return its output, printed only on failure."""
        say(f"$ compose {' '.join(arguments)}")
        ended = subprocess.run(  # noqa: S603 - the operator chose the command
            [*self._compose, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise SystemExit(f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}\nexit code {ended.returncode}")
        return ended.stdout

    def ready(self) -> str | None:
        """The service's status: `ready`, `degraded`, or None."""
        try:
            return self.client.check_ready().status
        except (httpx2.TransportError, ProblemError):
            return None

    def wait_until(self, what: str, is_so: Callable[[], bool]) -> float:
        """Wait for a condition and return the seconds it took."""
        started_at = time.monotonic()
        while not is_so():
            if time.monotonic() - started_at > PATIENCE_SECONDS:
                raise SystemExit(f"not {what} after {PATIENCE_SECONDS} seconds")
            time.sleep(0.5)
        seconds = time.monotonic() - started_at
        say(f"  {what} after {seconds:.1f} s")
        return seconds

    def recommend(self, history: list[str]) -> list[str]:
        """Recommend three items for a history, and check the answer."""
        started_at = time.monotonic()
        answer = self.client.recommend(history, limit=3)
        item_ids = [item.item_id for item in answer.items]
        milliseconds = (time.monotonic() - started_at) * 1000
        say(f"  recommend {history} -> {item_ids} ({answer.fallback_reason or 'generated'}, {milliseconds:.0f} ms)")
        expect(len(item_ids) == 3, f"3 recommendations, got {len(item_ids)}")
        expect(not answer.ignored_item_ids, f"{answer.ignored_item_ids} in the catalogue")
        return item_ids


def run(demo: Demo, *, build: bool, keep: bool, retrain: bool) -> None:
    """Run the demo, step by step."""
    if build:
        demo.compose("build")
    demo.compose("up", "-d")
    seconds = demo.wait_until("ready", lambda: demo.ready() == "ready")
    expect(seconds < READY_SECONDS, f"ready within {READY_SECONDS} s after the build, got {seconds:.0f} s")
    served = demo.client.get_info()
    say(f"  {served.num_items} items of bundle {served.bundle_id} on {served.device}")

    bundle_items = [item.item_id for item in demo.client.list_items(limit=3).items if item.origin == "bundle"][:2]
    demo.recommend(bundle_items)
    item_id = f"demo-mug-{int(time.time())}"
    posted = demo.client.create_item(item_id, title="Blue enamel mug", description="Holds tea, survives camping.")
    say(f"  posted {item_id}: tokens {[token.token for token in posted.tokens]}")
    demo.recommend([item_id])

    say("Redis killed: recommendations continue, the service reports degraded.")
    demo.compose("kill", "redis")
    demo.wait_until("degraded", lambda: demo.ready() == "degraded")
    demo.recommend([item_id, *bundle_items])
    demo.compose("start", "redis")
    demo.wait_until("ready", lambda: demo.ready() == "ready")

    say("PostgreSQL killed: recommendations continue, posting answers 503 until it is back.")
    demo.compose("kill", "postgres")
    demo.recommend(bundle_items[:1])
    say(f"  posting now answers {outcome_of_posting(demo, f'{item_id}-b')}")
    demo.compose("start", "postgres")
    demo.wait_until("posted again", lambda: outcome_of_posting(demo, f"{item_id}-b") in ("201", "409"))

    say("Service killed: posted items survive.")
    demo.compose("kill", "clairo")
    demo.compose("start", "clairo")
    demo.wait_until("ready", lambda: demo.ready() == "ready")
    demo.recommend([item_id, f"{item_id}-b"])

    if retrain:
        retrain_and_promote(demo, served.bundle_id)

    say("Stopped and started: the volumes keep the data.")
    demo.compose("down")
    demo.compose("up", "-d")
    demo.wait_until("ready", lambda: demo.ready() == "ready")
    demo.recommend([item_id, f"{item_id}-b"])
    if not keep:
        demo.compose("down")
    say("All expectations met.")


def retrain_and_promote(demo: Demo, served_at_first: str) -> None:
    """Post feedback with a pattern that the bundle lacks, train the next bundle, and check that it is served."""
    say(f"Retraining: {NUM_SHOPPERS} shoppers buy in catalogue order; the next bundle learns it.")
    item_ids = [item.item_id for item in demo.client.list_items(limit=WALKED_ITEMS).items if item.origin == "bundle"]
    now = time.time()
    for first in range(0, NUM_SHOPPERS, SHOPPERS_A_CALL):
        events = [
            {
                "event_id": f"walk-{shopper}-{step}",
                "user_id": f"walker-{shopper}",
                "item_id": item_ids[(shopper + step) % len(item_ids)],
                "type": "purchase",
                "timestamp": now + step / 100,
            }
            for shopper in range(first, first + SHOPPERS_A_CALL)
            for step in range(NUM_STEPS)
        ]
        demo.client.add_feedback(events)
    started_at = time.monotonic()
    for line in demo.compose("--profile", "train", "run", "--rm", "train").splitlines()[-3:]:
        say(f"  {line}")
    say(f"  took {time.monotonic() - started_at:.0f} s")
    served = demo.client.get_info().bundle_id
    expect(served != served_at_first, "the new bundle in service")
    demo.recommend(item_ids[:2])
    demo.client.roll_back_bundle()
    expect(demo.client.get_info().bundle_id == served_at_first, "the first bundle in service again")
    say(f"  rolled back to {demo.client.get_info().bundle_id}")


def outcome_of_posting(demo: Demo, item_id: str) -> str:
    """Post an item and return the status, or the transport error's name."""
    try:
        demo.client.create_item(item_id, title="Green enamel mug")
    except ProblemError as problem:
        return str(problem.status)
    except httpx2.TransportError as error:
        return type(error).__name__
    return "201"


def expect(is_so: bool, expectation: str) -> None:
    """Exit unless the expectation holds."""
    if not is_so:
        raise SystemExit(f"FAILED: expected {expectation}")


def say(line: str) -> None:
    """Print a line of the transcript, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED_AT:6.1f}] {line}", flush=True)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--compose", default="docker compose", help="Compose command.")
    parser.add_argument("--url", default=URL, help="Url of the service.")
    parser.add_argument("--no-build", action="store_true", help="Use existing images.")
    parser.add_argument(
        "--retrain", action="store_true", help="Also train the next bundle on feedback and activate it."
    )
    parser.add_argument("--keep", action="store_true", help="Leave the containers running.")
    chosen = parser.parse_args()
    run(Demo(chosen.compose, chosen.url), build=not chosen.no_build, keep=chosen.keep, retrain=chosen.retrain)


if __name__ == "__main__":
    main()
