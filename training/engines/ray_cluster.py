"""The engine of a Ray cluster: actors run pieces, Ray Train runs trainings.

A piece whose worker dies is computed again. A training whose worker dies starts again after its last whole epoch.
Start at `opened_ray`.
"""

import logging
import os
import shutil
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from clairo_core.errors import ClairoError, SettingsError, TrainingError
from clairo_core.generation.t5.generator import choose_device
from training.engines.engine import Piece, Prepared, Result, Train, preparing, unprepared
from training.engines.processes import Processes

# Ray reads these when it is imported. It reports its use to its makers unless it is switched off.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")

try:
    import ray
    import ray.train
    import torch
    from ray.train.torch import TorchConfig, TorchTrainer, get_device

    from training.engines.ray_worker import Worker, prepared
except ModuleNotFoundError as error:
    raise SettingsError(f"--engine ray needs Ray ({error}); install it with pip install 'clairo[ray]'") from error

_RESTARTS = 3
"""Of a training, or a piece, after workers that died."""
_PIECES_PER_WORKER = 2
"""Sent, and not read yet: one is computed, the next one is there."""


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
    logging.getLogger("ray.train").setLevel(logging.ERROR)
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
        self._workers: list[Any] = []
        """They stay for the next work: a process takes seconds to import what it needs."""

    def map(
        self,
        work: Callable[[], Callable[[Prepared], Result]],
        pieces: Sequence[Piece],
        prepare: Callable[[Piece], Prepared] = unprepared,
    ) -> Iterator[Result]:
        """Run pieces on actors, and prepare them on CPUs if the actors have GPUs. Few results wait for the reader.

        Raises:
            ClairoError: of a piece, as it was raised.
            TrainingError: any other failure.
        """
        workers = self._started_workers(len(pieces))
        shared, ready = self._steps(work, prepare)
        most_sent = _PIECES_PER_WORKER * len(workers)
        if ready is not unprepared:
            most_sent += int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]
        sent: deque[Any] = deque()
        worker_of: dict[Any, int] = {}
        try:
            for piece in pieces:
                if len(sent) == most_sent:
                    yield ray.get(sent.popleft())
                number = _least_busy(worker_of, len(workers))
                result = workers[number].run.remote(shared, ready(piece))
                worker_of[result] = number
                sent.append(result)
            while sent:
                yield ray.get(sent.popleft())
        except ray.exceptions.RayError as error:
            raise _error_of(error) from error

    def _steps(
        self, work: Callable[[], Callable[[Prepared], Result]], prepare: Callable[[Piece], Prepared]
    ) -> tuple[list[Any], Callable[[Piece], Any]]:
        """What workers run, as `Worker.run` takes it, and what makes a piece ready for them."""
        if prepare is unprepared or not self.has_gpus:
            both: Callable[[], Callable[[Piece], Result]] = partial(preparing, work, prepare)
            return [ray.put(both)], unprepared
        preparation: Any = ray.remote(num_cpus=1, max_retries=_RESTARTS)(prepared)
        return [ray.put(work)], partial(preparation.remote, self.directory, ray.put(prepare))

    def _started_workers(self, most: int) -> list[Any]:
        """Up to `most` workers."""
        # Those of GPUs leave the CPUs to what prepares their pieces.
        resources: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0} if self.has_gpus else {"num_cpus": 1}
        actor = ray.remote(max_restarts=-1, max_task_retries=_RESTARTS, **resources)(Worker)
        while len(self._workers) < min(most, self.num_workers):
            self._workers.append(actor.remote(self.directory))
        return self._workers[:most]

    def fit(self, train: Train) -> None:
        """Train on the workers.

        Raises:
            TrainingError: a worker failed, the last time after restarts.
        """
        # A training takes their place.
        while self._workers:
            ray.kill(self._workers.pop())
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


def _least_busy(worker_of: dict[Any, int], num_workers: int) -> int:
    """The worker with the fewest results to come. Forgets results that have come.

    Args:
        worker_of: result to come, or come lately -> number of its worker.
        num_workers: numbers below it.
    """
    come, _ = ray.wait(list(worker_of), num_returns=len(worker_of), timeout=0) if worker_of else ([], [])
    for result in come:
        del worker_of[result]
    busy = list(worker_of.values())
    return min(range(num_workers), key=busy.count)


def _error_of(failure: BaseException) -> ClairoError:
    """Our own error that a worker raised, or one with the words of Ray's."""
    error: BaseException | None = failure
    while error is not None:
        if isinstance(error, ClairoError):
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return TrainingError(f"a worker of Ray failed: {failure}; run again to resume")
