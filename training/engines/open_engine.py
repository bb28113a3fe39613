"""Open the engine that a command asks for. Start at `opened_engine`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

from clairo_core.errors import SettingsError
from training.engines.engine import IN_THIS_PROCESS, Engine

RAY = "ray"


@contextmanager
def opened_engine(
    name: str, *, address: str | None, workers: int | None, device: str, folder: Path
) -> Iterator[Engine | None]:
    """The engine; None in a process of torchrun that is not the first, once the work is done.

    Args:
        name: `ray`, or `process`, in whose place comes torchrun where it started the program.
        address: of the Ray cluster; None takes RAY_ADDRESS, or starts one on this machine.
        workers: of the Ray cluster; None takes all GPUs, or all CPUs.
        device: that the command asks for, as in `choose_device`.
        folder: for files that all machines see.

    Raises:
        SettingsError: the arguments do not go together, or Ray is missing or has no such cluster.
    """
    is_by_torchrun = dist.is_torchelastic_launched()
    if is_by_torchrun and name == RAY:
        raise SettingsError("--engine ray goes without torchrun; leave out one of the two")
    if name != RAY and (address is not None or workers is not None):
        flag = "--workers" if address is None else "--address"
        raise SettingsError(f"{flag} goes with --engine ray; add it, or leave the flag out")
    if (is_by_torchrun or name == RAY) and ":" in device:
        raise SettingsError(f"--device {device} names one GPU for all processes; with --device cuda each takes its own")
    if name == RAY:
        from training.engines.ray_cluster import opened_ray  # noqa: PLC0415

        with opened_ray(address, workers, device, folder) as ray_engine:
            yield ray_engine
    elif is_by_torchrun:
        from training.engines.torchrun import opened_torchrun  # noqa: PLC0415

        with opened_torchrun() as torchrun:
            yield torchrun
    else:
        yield IN_THIS_PROCESS
