"""Stages that are finished without being built: for tests of their keys."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.workbench.stage_cache import FinishedStage, StageCache, digest_of


class UnbuiltStages(StageCache):
    """Finishes every stage with the same result, under its real key."""

    def __init__(self, folder: Path, result: object = None) -> None:
        super().__init__(folder)
        self.result = result

    def run(
        self, name: str, inputs: Mapping[str, object], build: Callable[[Path], None], load: Callable[[Path], Any]
    ) -> FinishedStage[Any]:
        return FinishedStage(self.folder / f"{name}-{digest_of(inputs)}", self.result)
