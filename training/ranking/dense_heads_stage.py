"""Stage: item content and training sequences -> dense heads."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from clairo_core.ranking import DenseHead, DenseHeads, load_dense_head
from training.config.preset import AUTO, RECURRENT, TRANSFORMER, DenseSettings
from training.items.described_items import DescribedItems
from training.ranking.fit_dense_head import fit_dense_head, validation_ndcg
from training.workbench.checkpoints import FitProgress, load_progress
from training.workbench.fit_epochs import refit_epochs
from training.workbench.workbench import Workbench

SEED_STEP = 1_000_003
"""Between the seed of a run and that of its second recurrent head; no run's seeds are so far apart."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedDenseHead:
    """A dense head in its best epoch."""

    trained: DenseHead
    folder: Path
    """Of both heads."""
    encoder: str
    """Of histories, as in `DenseSettings`."""
    seed: int
    progress: FitProgress
    key: str

    def as_new(self) -> DenseHead:
        """The same head with the item vectors that items would have if they had just been posted.

        Read on demand: one stage needs it, and in a large catalogue it takes as much memory as the head.
        """
        return load_dense_head(self.folder / "as-new")


@dataclass(frozen=True, eq=False)
class TrainedDenseHeads:
    """Dense heads that are used as one."""

    members: tuple[TrainedDenseHead, ...]
    """Best first."""
    is_held_out: Bool[np.ndarray, "item"]
    """Items whose content taught them nothing. None where nothing can be posted."""

    @cached_property
    def trained(self) -> DenseHeads:
        """As trained."""
        return DenseHeads(tuple(member.trained for member in self.members))

    def as_new(self) -> DenseHeads:
        """With the item vectors that items would have if they had just been posted."""
        return DenseHeads(tuple(member.as_new() for member in self.members))

    @property
    def key(self) -> str:
        """Keys of the members."""
        return " ".join(member.key for member in self.members)


def dense_heads_stage(bench: Workbench, items: DescribedItems) -> TrainedDenseHeads:
    """Train one dense head. With `dense.encoder=auto`, train three and keep those whose mean is best on validation.

    Two of the three are recurrent, from two seeds, one is a transformer. The best one is kept, with the second best and
    the third where their mean ranks better. Without validation users nothing shows which is better, and one recurrent
    head is trained.
    """
    encoder = bench.preset.dense.encoder
    is_held_out = np.zeros(len(bench.dataset.items), np.bool_) if items.content is None else bench.is_held_out
    if encoder == AUTO and not len(bench.validation.targets):
        encoder = RECURRENT
    if encoder != AUTO:
        return TrainedDenseHeads((_trained(bench, items, is_held_out, encoder, bench.seed),), is_held_out)
    kinds = {
        "recurrent": (RECURRENT, bench.seed),
        "transformer": (TRANSFORMER, bench.seed),
        "second recurrent": (RECURRENT, bench.seed + SEED_STEP),
    }
    heads = {name: _trained(bench, items, is_held_out, *kind) for name, kind in kinds.items()}
    best_first = sorted(heads, key=lambda name: -heads[name].progress.best_ndcg)
    users = bench.users_per_epoch(bench.preset.dense.validation_users)
    ndcgs = [
        validation_ndcg(DenseHeads(tuple(heads[name].trained for name in best_first[:number])), users)
        for number in range(1, len(best_first) + 1)
    ]
    kept = best_first[: int(np.argmax(ndcgs)) + 1]
    listed = ", ".join(f"{name} {head.progress.best_ndcg:.4f}" for name, head in heads.items())
    bench.report(f"dense head: {' and '.join(kept)}, validation NDCG@10 {max(ndcgs):.4f}; each alone: {listed}")
    return TrainedDenseHeads(tuple(heads[name] for name in kept), is_held_out)


def refitted_dense_heads_stage(
    bench: Workbench, items: DescribedItems, measured: TrainedDenseHeads
) -> TrainedDenseHeads:
    """Go on with every trained head, over the sequences that `bench` learns from. Nothing is validated."""

    def refitted(member: TrainedDenseHead) -> TrainedDenseHead:
        settings = replace(
            bench.preset.dense, encoder=member.encoder, max_epochs=refit_epochs(member.progress, bench.growth)
        )
        inputs = {"measured": member.key, "learned": bench.training_digest, "dense": asdict(settings)}
        return _fitted(
            bench, "refit-dense-head", inputs, items, settings, measured.is_held_out, member.seed, member.trained
        )

    return replace(measured, members=tuple(refitted(member) for member in measured.members))


def _trained(
    bench: Workbench, items: DescribedItems, is_held_out: Bool[np.ndarray, "item"], encoder: str, seed: int
) -> TrainedDenseHead:
    settings = replace(bench.preset.dense, encoder=encoder)
    inputs = {
        "dataset": bench.dataset.fingerprint,
        "items": items.key,
        "dense": asdict(settings),
        "seed": seed,
    }
    return _fitted(bench, "dense-head", inputs, items, settings, is_held_out, seed)


def _fitted(
    bench: Workbench,
    stage_name: str,
    inputs: Mapping[str, object],
    items: DescribedItems,
    settings: DenseSettings,
    is_held_out: Bool[np.ndarray, "item"],
    seed: int,
    start_from: DenseHead | None = None,
) -> TrainedDenseHead:
    users = bench.users_per_epoch(settings.validation_users)

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
            seed=seed,
            progress=bench.progress,
            report=bench.report,
        )

    def load(folder: Path) -> tuple[DenseHead, FitProgress]:
        heads = folder / "dense-head"
        load_dense_head(heads / "as-new")
        return load_dense_head(heads / "trained"), load_progress(folder)

    stage = bench.stages.run(stage_name, inputs, build, load)
    trained, progress = stage.result
    return TrainedDenseHead(trained, stage.folder / "dense-head", settings.encoder, seed, progress, stage.key)
