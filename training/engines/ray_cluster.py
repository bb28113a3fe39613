"""The engine of a Ray cluster: Ray Data runs pieces on actors, Ray Train runs trainings.

A piece whose worker dies is computed again. A training whose worker dies starts again after its last whole epoch.
Start at `opened_ray`.
"""

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from clairo_core.errors import ClairoError, SettingsError, TrainingError
from clairo_core.generation.t5.generator import choose_device
from training.engines.engine import Piece, Result, Train
from training.engines.processes import Processes

# Ray reads these when it is imported. It reports its use to its makers unless it is switched off.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")

try:
    import ray
    import ray.data
    import ray.train
    import torch
    from ray.train.torch import TorchConfig, TorchTrainer, get_device
except ModuleNotFoundError as error:
    raise SettingsError(f"--engine ray needs Ray ({error}); install it with pip install 'clairo[ray]'") from error

_RESTARTS = 3
"""Of a training, after workers that died."""


@contextmanager
def opened_ray(address: str | None, workers: int | None, device: str, folder: Path) -> Iterator["RayCluster"]:
    """Connect to a cluster, or start one on this machine that ends with the block.

    Args:
        address: None takes RAY_ADDRESS, or starts a cluster.
        workers: None takes all GPUs, or all CPUs.
        device: as in `choose_device`, on this machine: GPUs are used on all or on none.
        folder: that all machines see.

    Raises:
        SettingsError: no cluster is at `address`, or it has too few GPUs or CPUs.
    """
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        # Workers' own lines, such as an epoch's loss, come through; Ray's about each of its actors do not.
        ray.init(address=address, logging_level=logging.ERROR, logging_config=ray.LoggingConfig(log_level="ERROR"))
    except ConnectionError as error:
        raise SettingsError(
            f"--address {address}: no Ray cluster answers ({error}); start one with ray start --head"
        ) from error
    try:
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        kind = "GPU" if resources.get("GPU") and choose_device(device).type == "cuda" else "CPU"
        most = int(resources.get(kind, 0))
        if workers is not None and workers > most:
            raise SettingsError(f"--workers {workers}: the cluster has {most} {kind}s; ask for no more workers")
        yield RayCluster(workers or most, has_gpus=kind == "GPU", folder=folder)
    finally:
        ray.shutdown()


class RayCluster:
    """Runs pieces and trainings on a cluster's workers."""

    def __init__(self, num_workers: int, *, has_gpus: bool, folder: Path) -> None:
        self.num_workers = num_workers
        self.has_gpus = has_gpus
        self.folder = folder
        self.directory = Path.cwd()
        """Relative paths start there on every machine."""

    def map(self, work: Callable[[], Callable[[Piece], Result]], pieces: Sequence[Piece]) -> Iterator[Result]:
        """Run pieces on actors. Ray Data starts none while results wait for the reader.

        Raises:
            ClairoError: of a piece, as it was raised.
            TrainingError: any other failure.
        """
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        if not pieces:
            return
        numbers = ray.data.range(len(pieces), override_num_blocks=len(pieces))
        results = numbers.map(
            _Worker,  # type: ignore[arg-type]
            fn_constructor_args=(self.directory, ray.put(work), [ray.put(piece) for piece in pieces]),
            compute=ray.data.ActorPoolStrategy(size=min(self.num_workers, len(pieces))),
            num_cpus=1,
            num_gpus=1 if self.has_gpus else 0,
        )
        try:
            for row in results.iter_rows():
                result = ray.cloudpickle.loads(row["result"])
                if isinstance(result, ClairoError):
                    raise result
                yield result
        except ray.exceptions.RayError as error:
            raise _error_of(error) from error

    def fit(self, train: Train) -> None:
        """Train on the workers.

        Raises:
            TrainingError: a worker failed, the last time after restarts.
        """
        shared, has_gpus, directory = ray.put(train), self.has_gpus, self.directory

        def train_in_worker() -> None:
            os.chdir(directory)
            # Workers of a machine share arrays, and only read them.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            if has_gpus:
                torch.cuda.set_device(get_device())
            context = ray.train.get_context()
            ray.get(shared)(processes=Processes(context.get_world_rank(), context.get_world_size()))

        self.folder.mkdir(parents=True, exist_ok=True)
        # Ray's own files. Checkpoints and results are the stage's.
        storage = mkdtemp(prefix="ray-", dir=self.folder.resolve())
        try:
            TorchTrainer(
                train_in_worker,
                torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if has_gpus else "gloo"),
                scaling_config=ray.train.ScalingConfig(num_workers=self.num_workers, use_gpu=has_gpus),
                run_config=ray.train.RunConfig(  # type: ignore[call-arg]
                    storage_path=storage,
                    failure_config=ray.train.FailureConfig(max_failures=_RESTARTS),
                    logging_config=ray.train.LoggingConfig(log_level="ERROR"),
                ),
            ).fit()
        except ray.train.TrainingFailedError as error:
            failures = [_error_of(failure) for failure in getattr(error, "worker_failures", {}).values()]
            raise next(iter(failures), _error_of(error)) from error
        finally:
            shutil.rmtree(storage, ignore_errors=True)


class _Worker:
    """An actor that holds what its work needs."""

    def __init__(self, directory: Path, work: Any, pieces: list[Any]) -> None:
        os.chdir(directory)
        self.work, self.pieces = work, pieces
        self.function: Callable[[Any], object] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        result: object
        try:
            if self.function is None:
                self.function = ray.get(self.work)()
            result = self.function(ray.get(self.pieces[row["id"]]))
        except ClairoError as error:
            # Raised, it would come back in Ray's words alone.
            result = error
        # As bytes: Ray Data would make columns of tuples and arrays.
        return {"result": ray.cloudpickle.dumps(result)}  # type: ignore[no-untyped-call]


def _error_of(failure: BaseException) -> ClairoError:
    """Our own error that a worker raised, or one with the words of Ray's."""
    error: BaseException | None = failure
    while error is not None:
        if isinstance(error, ClairoError):
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return TrainingError(f"a worker of Ray failed: {failure}; run again to resume")
