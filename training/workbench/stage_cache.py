"""Keep each stage's result in a folder named by the digest of its inputs, so that nothing is computed twice.

A stage is built in a `.partial` folder, which survives a kill: long stages leave checkpoints there and resume from
them. The folder is renamed once the stage is complete and its own loader has read the result back.

Several runs may share a cache. Each stage folder holds a file `lock`: exclusive while the stage is built or removed,
shared while a run uses it. The system releases it when the process ends, however it ends.
"""

import fcntl
import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TextIO, TypeVar

from clairo_core.errors import TrainingError
from clairo_core.storage.failed_write import naming_failed_writes

FORMAT = 19
"""Raise it with every change to what a stage computes or writes, so that no run takes an older release's result."""
LOCK = "lock"
NOT_ABOUT_THE_RESULT = (MemoryError, RuntimeError, PermissionError)
"""A loader that fails like this, as on a full GPU, does not show that the result is damaged."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FinishedStage(Generic[Result]):
    """A stage's result and the folder that keeps it."""

    folder: Path
    result: Result

    @property
    def key(self) -> str:
        """The stage's name and the digest of its inputs. Every stage that uses the result takes it as an input."""
        return self.folder.name


class StageCache:
    """Finished stages under one folder, each as `name-digest/`."""

    def __init__(self, folder: Path, report: Callable[[str], None] = lambda message: None) -> None:
        self.folder = folder
        self.report = report
        self._in_use = ExitStack()
        weakref.finalize(self, self._in_use.close)

    def run(
        self,
        name: str,
        inputs: Mapping[str, object],
        build: Callable[[Path], None],
        load: Callable[[Path], Result],
    ) -> FinishedStage[Result]:
        """Load stage `name` for these inputs. Build it first unless it is finished.

        Args:
            name: of the stage.
            inputs: everything that the result depends on.
            build: fills a folder, which may hold what a killed run left. It must replace files whole.
            load: reads the result back from the folder. What it refuses is not finished.

        Raises:
            TrainingError: another run is building the same stage, or `load` fails.
            OSError: a write failed; what `build` left stays, and the next run goes on from there.
        """
        inputs = {**inputs, "format": FORMAT}
        finished = self.folder / f"{name}-{digest_of(inputs)}"
        is_built = False
        # Another run may finish or remove the stage between any two steps, hence the loop.
        while not self._use(finished):
            is_built = self._build(name, inputs, finished, build, load)
        if not is_built:
            self.report(f"{name}: unchanged, taken from {finished}")
        return FinishedStage(finished, _read_back(name, finished, load))

    def remove_unused(self, keep: Collection[str] = ()) -> None:
        """Remove every stage that no other run uses or builds, and release this run's own.

        Args:
            keep: folders that stay.
        """
        self._in_use.close()
        for folder in [path for path in self.folder.glob("*") if path.name not in keep]:
            lock = _open_lock(folder, "a")
            if lock is None:
                continue
            with lock:
                if _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    # Renamed first: a run that looks for the stage now finds all of it or nothing.
                    shutil.rmtree(folder.rename(folder.with_name(folder.name + ".removed")))
                else:
                    self.report(f"{folder} stays: another run uses it")

    def _use(self, finished: Path) -> bool:
        """Hold a finished stage until this cache is gone. False if there is none."""
        # A cache that this user may only read has its locks already.
        lock = _open_lock(finished, "r" if (finished / LOCK).is_file() else "a")
        if lock is None:
            return False
        _lock(lock, fcntl.LOCK_SH)
        if not _is_lock_of(finished, lock):
            lock.close()
            return False
        self._in_use.enter_context(lock)
        return True

    def _build(
        self,
        name: str,
        inputs: Mapping[str, object],
        finished: Path,
        build: Callable[[Path], None],
        load: Callable[[Path], object],
    ) -> bool:
        """Build the stage and rename its folder. False if another run finished or removed it meanwhile."""
        partial = finished.with_name(finished.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        lock = _open_lock(partial, "a")
        if lock is None:
            return False
        with lock:
            is_locked = _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_lock_of(partial, lock):
                return False
            if not is_locked:
                raise TrainingError(
                    f"stage {name} is being built by another process ({partial / LOCK} is locked); wait for it to end"
                )
            if finished.is_dir():
                shutil.rmtree(partial)
                return False
            if any(path.name != LOCK for path in partial.iterdir()):
                self.report(f"{name}: going on with what an earlier run left")
            with naming_failed_writes(partial):
                build(partial)
            try:
                load(partial)
            except Exception as error:
                if not isinstance(error, NOT_ABOUT_THE_RESULT):
                    # Kept, it would be taken for finished work, and every later run would fail on it.
                    shutil.rmtree(partial)
                raise TrainingError(f"stage {name}: its result cannot be read back ({error}); run again") from error
            (partial / "inputs.json").write_text(json.dumps(inputs, indent=2, sort_keys=True), encoding="utf-8")
            partial.rename(finished)
        return True


def digest_of(inputs: Mapping[str, object]) -> str:
    """The first 16 hex digits of the sha256 of `inputs` as canonical JSON.

    >>> digest_of({"a": 1, "b": (2,)}) == digest_of({"b": [2], "a": 1})
    True
    """
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read_back(name: str, folder: Path, load: Callable[[Path], Result]) -> Result:
    try:
        return load(folder)
    except Exception as error:
        raise TrainingError(
            f"stage {name}: the result in {folder} cannot be read ({error}); remove the folder and run again"
        ) from error


def _open_lock(folder: Path, mode: Literal["r", "a"]) -> TextIO | None:
    """The folder's lock file, not locked yet. None if there is no such folder."""
    try:
        return (folder / LOCK).open(mode, encoding="ascii")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _lock(lock: TextIO, operation: int) -> bool:
    """Lock the file. False if another process holds it and `operation` must not wait."""
    try:
        fcntl.flock(lock, operation)
    except BlockingIOError:
        return False
    return True


def _is_lock_of(folder: Path, lock: TextIO) -> bool:
    """Whether the folder that the lock was opened in still has its name."""
    try:
        return os.path.samestat((folder / LOCK).stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False
