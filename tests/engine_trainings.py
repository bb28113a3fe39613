"""Small trainings of every network, for engines to run. Without dropout, so that processes take the same steps.

Each training imports its own network: a process of a cluster runs one.

    torchrun --nproc-per-node 2 -m tests.engine_trainings FOLDER

runs them all, and kills its second process in the middle of the last one.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from training.config.preset import DenseSettings, FitSettings, GeneratorSettings, ParallelSettings
from training.engines.processes import ALONE, Processes
from training.engines.torchrun import opened_torchrun
from training.evaluation.split import EvaluationSplit
from training.ranking.fit_dense_head import fit_dense_head
from training.workbench.checkpoints import FitProgress

NUM_ITEMS = 12
CODE_SIZES = (8, 8, 8)
CPU = torch.device("cpu")
PARALLEL = ParallelSettings(
    width=16, max_epochs=3, positions_per_batch=60, learning_rate=0.02, max_history_items=5, dropout_rate=0.0
)
T5 = FitSettings(max_epochs=2, batch_size=7, learning_rate=0.01)
DENSE = DenseSettings(
    dim=16, width=16, positions_per_batch=60, max_epochs=2, max_history_items=5, learning_rate=0.02,
    encoder="recurrent", dropout_rate=0.0, own_dropout=0.0,
)  # fmt: skip


def cycles(num_users: int = 60) -> ItemSequences:
    """Each item is followed by the next. The last item does not occur."""
    return ItemSequences.from_lists(
        [[(user + step) % (NUM_ITEMS - 1) for step in range(2 + user % 9)] for user in range(num_users)]
    )


def weighted_cycles() -> ItemSequences:
    """Events weigh more from user to user."""
    sequences = cycles(30)
    weights = np.linspace(0.5, 2.0, len(sequences.items)).astype(np.float32)
    return ItemSequences(sequences.items, sequences.offsets, weights)


def last_items() -> EvaluationSplit:
    last = np.arange(NUM_ITEMS - 1)
    histories = ItemSequences.from_lists([[item] for item in last])
    return EvaluationSplit(histories, ((last + 1) % (NUM_ITEMS - 1)).astype(np.int32), last.astype(np.int32))


def epoch_of(checkpoint: Path) -> float:
    """Every epoch is better than the one before."""
    return float(checkpoint.name.removeprefix("epoch-"))


def ignored(_: object) -> None:
    """Nobody reads the reports."""


def parallel(folder: Path, progress: Any = silent, processes: Processes = ALONE) -> FitProgress:
    from tests.tiny import random_feature_sets
    from training.generator.fit_parallel import fit_parallel

    return fit_parallel(
        folder, weighted_cycles(), random_feature_sets(NUM_ITEMS, CODE_SIZES), 8, PARALLEL,
        device=CPU, seed=1, validate=epoch_of, progress=progress, report=ignored, processes=processes,
    )  # fmt: skip


def t5(folder: Path, progress: Any = silent, processes: Processes = ALONE) -> FitProgress:
    from clairo_core.catalogue import build_catalogue
    from clairo_core.tokens.tokenizer import Tokenizer
    from tests.tiny import random_feature_sets, tiny_vocabulary
    from training.generator.examples import every_prefix
    from training.generator.fit_generator import fit_generator
    from training.generator.tasks import lessons_of

    codes, tokenizer = random_feature_sets(NUM_ITEMS, CODE_SIZES), Tokenizer(tiny_vocabulary())
    catalogue = build_catalogue([f"item-{row}" for row in range(NUM_ITEMS)], codes, tokenizer)
    lessons = lessons_of(catalogue, tokenizer, every_prefix(weighted_cycles(), 5), np.arange(NUM_ITEMS))
    sizes = GeneratorSettings(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.0)
    return fit_generator(
        folder, lessons, sizes, T5,
        device=CPU, seed=1, validate=epoch_of, progress=progress, report=ignored, processes=processes,
    )  # fmt: skip


def dense(
    folder: Path, progress: Any = silent, processes: Processes = ALONE, settings: DenseSettings = DENSE
) -> FitProgress:
    content = np.random.default_rng(0).normal(size=(NUM_ITEMS, 4)).astype(np.float32)
    return fit_dense_head(
        folder, weighted_cycles(), content, np.zeros(NUM_ITEMS, np.bool_), last_items(), settings,
        device=CPU, seed=1, progress=progress, report=ignored, processes=processes,
    )  # fmt: skip


SAMPLED = replace(DENSE, encoder="transformer", num_layers=1, max_softmax_items=4)
"""Every item is drawn in every step, and stands for itself; the gradient of own vectors is sparse."""
TRAININGS: dict[str, Callable[..., FitProgress]] = {
    "t5": t5,
    "dense": dense,
    "sampled": partial(dense, settings=SAMPLED),
    "parallel": parallel,
}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """Of all files that a training left."""
    files = sorted(folder.rglob("*.safetensors"))
    return {f"{file.relative_to(folder)} {name}": one for file in files for name, one in load_file(file).items()}


def killed_file(process_id_file: Path) -> Path:
    """Where the id is, once its process was killed."""
    return process_id_file.with_name("killed-process")


def killing(process_id_file: Path, steps: Iterable[Any], label: str, total: int | None = None) -> Iterator[Any]:
    """Progress that kills a process in the third step of the second epoch."""
    for number, step in enumerate(steps):
        if "epoch 2/" in label and number == 2 and process_id_file.is_file():
            process_id = json.loads(process_id_file.read_text())
            process_id_file.rename(killed_file(process_id_file))
            os.kill(process_id, signal.SIGKILL)
        yield step


def noted(process_id_file: Path, train: Callable[..., FitProgress], processes: Processes) -> None:
    """The second process leaves its id for `killing`, once."""
    if processes.number == 1 and not killed_file(process_id_file).exists():
        process_id_file.write_text(json.dumps(os.getpid()))
    train(processes=processes)


if __name__ == "__main__":
    # Under its own name, which the other processes import.
    from tests import engine_trainings as trainings

    out = Path(sys.argv[1])
    with opened_torchrun() as engine:
        if engine is not None:
            for name, train in trainings.TRAININGS.items():
                engine.fit(partial(train, out / name))
            process_id = out / "process-id"
            killed = partial(trainings.parallel, out / "killed", partial(trainings.killing, process_id))
            engine.fit(partial(trainings.noted, process_id, killed))
