"""Keep each stage's result in a folder named by the digest of its inputs, so that nothing is computed twice.

Knows folders, digests and kills; knows nothing of what a stage computes. A stage builds in a `.partial` folder, which
outlives a kill: a long stage leaves checkpoints there and goes on from them. The folder is renamed when it is complete.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clairo_core.errors import TrainingError

FORMAT = 4
"""Raise it with every change to what a stage computes or writes, so that no run takes an older release's result."""


def digest_of(inputs: Mapping[str, object]) -> str:
    """The first 16 hex digits of the sha256 of `inputs` as canonical JSON.

    >>> digest_of({"a": 1, "b": (2,)}) == digest_of({"b": [2], "a": 1})
    True
    """
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class StageCache:
    """Finished stages under one folder, each as `name-digest/`."""

    def __init__(self, folder: Path, report: Callable[[str], None] = lambda message: None) -> None:
        self.folder = folder
        self.report = report

    def run(self, name: str, inputs: Mapping[str, object], build: Callable[[Path], None]) -> Path:
        """The folder of stage `name` for these inputs, built now unless it is there.

        `build` is given a folder to fill. It may hold what an earlier, killed call left; `build` decides what of it
        is usable, and must write its files aside and rename them.

        Raises:
            TrainingError: another process is building the same stage.
        """
        inputs = {**inputs, "format": FORMAT}
        finished = self.folder / f"{name}-{digest_of(inputs)}"
        if finished.is_dir():
            self.report(f"{name}: unchanged, taken from {finished}")
            return finished
        partial = finished.with_name(finished.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        with only_one_process(partial / "lock", name):
            if any(path.name != "lock" for path in partial.iterdir()):
                self.report(f"{name}: going on with what an earlier run left")
            build(partial)
            (partial / "inputs.json").write_text(json.dumps(inputs, indent=2, sort_keys=True), encoding="utf-8")
            partial.rename(finished)
        return finished

    def clear(self) -> None:
        """Forget every stage."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def only_one_process(lock_file: Path, name: str) -> Iterator[None]:
    """Hold a lock that the system drops when the process dies, however it dies."""
    with lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingError(
                f"stage {name} is being built by another process ({lock_file} is locked); wait for it to end"
            ) from error
        yield
