"""Processor time and peak memory of every stage of a training, kept beside the stage's result.

A stage that a killed run left half done goes on, and its cost with it: what was spent up to its last checkpoint counts,
what was spent after it is spent again. Linux only. Start at `MeasuredStages`.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from benchmarks.memory import peak_bytes
from clairo_core.storage.replaced_file import replace_text
from training.workbench.checkpoints import load_progress
from training.workbench.stage_cache import FinishedStage, StageCache

COST_FILE = "cost.json"
Result = TypeVar("Result")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """What some work took."""

    seconds: float = 0.0
    """Of processor, in all threads and ended child processes."""
    peak_bytes: int = 0
    """Largest resident memory of the process meanwhile, everything that it held before included."""
    epochs: int = 0
    """Of trainings."""
    step_seconds: float = 0.0
    """Part of `seconds`: steps over batches, as against reading, validating and saving."""
    runs: int = 1

    def __add__(self, other: "Cost") -> "Cost":
        """Of one after the other."""
        return Cost(
            self.seconds + other.seconds,
            max(self.peak_bytes, other.peak_bytes),
            self.epochs + other.epochs,
            self.step_seconds + other.step_seconds,
            self.runs + other.runs,
        )


NOTHING = Cost(runs=0)


def processor_seconds() -> float:
    """Processor time of this process and of its ended children."""
    return sum(os.times()[:4])


def forget_peak() -> None:
    """Let `peak_bytes` start at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def measured(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Do the work; its result and its cost."""
    forget_peak()
    started = processor_seconds()
    result = work()
    return result, Cost(processor_seconds() - started, peak_bytes())


class MeasuredStages(StageCache):
    """A stage cache that measures what it builds. A workbench takes its `note` and `timed`, too."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, self.note)
        self.costs: dict[str, Cost] = {}
        """By name of a stage; of all together that have the name, such as three dense heads."""
        self._building: Path | None = None
        self._started = self._step_seconds = 0.0
        self._before = NOTHING
        self._outside, self._outside_since = NOTHING, processor_seconds()
        forget_peak()

    def run(
        self,
        name: str,
        inputs: Mapping[str, object],
        build: Callable[[Path], None],
        load: Callable[[Path], Result],
    ) -> FinishedStage[Result]:
        """As in `StageCache`; the stage's folder also holds its cost."""

        def build_measured(folder: Path) -> None:
            self._outside = self._outside_so_far()
            forget_peak()
            self._building, self._started, self._step_seconds = folder, processor_seconds(), 0.0
            self._before = _read_cost(folder)
            build(folder)
            self._write_cost()
            self._building, self._outside_since = None, processor_seconds()
            forget_peak()

        stage = super().run(name, inputs, build_measured, load)
        self.costs[name] = self.costs.get(name, NOTHING) + replace(_read_cost(stage.folder), runs=1)
        return stage

    def take_outside(self) -> Cost:
        """Of everything since the last call, or the start, that built no stage: loading, checking, combining."""
        taken, self._outside, self._outside_since = self._outside_so_far(), NOTHING, processor_seconds()
        forget_peak()
        return taken

    def _outside_so_far(self) -> Cost:
        return self._outside + Cost(processor_seconds() - self._outside_since, peak_bytes(), runs=0)

    def note(self, message: str) -> None:
        """Print a line of a stage. Trainings send one after each checkpoint, so the cost up to it is kept."""
        print(message, file=sys.stderr, flush=True)
        if self._building is not None and (self._building / "progress.json").is_file():
            self._write_cost()

    def timed(self, steps: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """A silent `Progress` that adds up the time of epochs' steps."""
        del total
        started = processor_seconds()
        yield from steps
        if ", epoch " in label:
            self._step_seconds += processor_seconds() - started

    def _write_cost(self) -> None:
        assert self._building is not None
        epochs = 0
        with suppress(FileNotFoundError):
            epochs = load_progress(self._building).epochs_done
        spent = Cost(processor_seconds() - self._started, peak_bytes(), 0, self._step_seconds)
        replace_text(self._building / COST_FILE, json.dumps(asdict(replace(self._before + spent, epochs=epochs))))


def _read_cost(folder: Path) -> Cost:
    with suppress(FileNotFoundError):
        return Cost(**json.loads((folder / COST_FILE).read_text(encoding="utf-8")))
    return NOTHING
