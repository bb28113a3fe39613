"""Stage: item content and training sequences -> a dense head."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from clairo_core.ranking import DenseHead, load_dense_head
from training.config.preset import AUTO, RECURRENT, TRANSFORMER, DenseSettings
from training.items.described_items import DescribedItems
from training.ranking.fit_dense_head import fit_dense_head
from training.workbench.checkpoints import FitProgress, load_progress
from training.workbench.fit_epochs import refit_epochs
from training.workbench.workbench import Workbench


@dataclass(frozen=True, slots=True, eq=False)
class TrainedDenseHead:
    """A dense head in its best epoch."""

    trained: DenseHead
    as_new: DenseHead
    """The same head with the item vectors that items would have if they had just been posted."""
    is_held_out: Bool[np.ndarray, "item"]
    """Items whose content taught it nothing. None where nothing can be posted."""
    encoder: str
    """Of histories, as in `DenseSettings`."""
    progress: FitProgress
    key: str


def dense_head_stage(bench: Workbench, items: DescribedItems) -> TrainedDenseHead:
    """Train the dense head. With `dense.encoder=auto`, train one per history encoder and keep the better one.

    Without validation users nothing shows which is better, and the recurrent one is trained.
    """
    encoder = bench.preset.dense.encoder
    if encoder == AUTO and not len(bench.validation.targets):
        encoder = RECURRENT
    if encoder != AUTO:
        return _with_encoder(bench, items, encoder)
    heads = {name: _with_encoder(bench, items, name) for name in (RECURRENT, TRANSFORMER)}
    best = max(heads, key=lambda name: heads[name].progress.best_ndcg)
    listed = ", ".join(f"{name} {head.progress.best_ndcg:.4f}" for name, head in heads.items())
    bench.report(f"dense head: {best}, by validation NDCG@10 of what reads histories: {listed}")
    return heads[best]


def refitted_dense_head_stage(bench: Workbench, items: DescribedItems, measured: TrainedDenseHead) -> TrainedDenseHead:
    """Go on with a trained head, over the sequences that `bench` learns from. Nothing is validated."""
    settings = replace(
        bench.preset.dense, encoder=measured.encoder, max_epochs=refit_epochs(measured.progress, bench.growth)
    )
    inputs = {"measured": measured.key, "learned": bench.training_digest, "dense": asdict(settings)}
    return _trained(bench, "refit-dense-head", inputs, items, settings, measured.is_held_out, measured.trained)


def _with_encoder(bench: Workbench, items: DescribedItems, encoder: str) -> TrainedDenseHead:
    settings = replace(bench.preset.dense, encoder=encoder)
    is_held_out = np.zeros(len(bench.dataset.items), np.bool_) if items.content is None else bench.is_held_out
    inputs = {
        "dataset": bench.dataset.fingerprint,
        "items": items.key,
        "dense": asdict(settings),
        "seed": bench.seed,
    }
    return _trained(bench, "dense-head", inputs, items, settings, is_held_out)


def _trained(
    bench: Workbench,
    stage_name: str,
    inputs: Mapping[str, object],
    items: DescribedItems,
    settings: DenseSettings,
    is_held_out: Bool[np.ndarray, "item"],
    start_from: DenseHead | None = None,
) -> TrainedDenseHead:
    users = bench.some_validation_users(settings.validation_users)

    def build(folder: Path) -> None:
        bench.report(f"dense head: {settings.encoder}")
        fit_dense_head(
            folder,
            bench.training,
            items.as_posted(),
            is_held_out,
            # What goes on learns from them.
            users if start_from is None else users.of_users(np.zeros(0, dtype=np.int64)),
            settings,
            start_from=start_from,
            device=bench.device,
            seed=bench.seed,
            progress=bench.progress,
            report=bench.report,
        )

    def load(folder: Path) -> tuple[DenseHead, DenseHead, FitProgress]:
        heads = folder / "dense-head"
        return load_dense_head(heads / "trained"), load_dense_head(heads / "as-new"), load_progress(folder)

    stage = bench.stages.run(stage_name, inputs, build, load)
    trained, as_new, progress = stage.result
    return TrainedDenseHead(trained, as_new, is_held_out, settings.encoder, progress, stage.key)
