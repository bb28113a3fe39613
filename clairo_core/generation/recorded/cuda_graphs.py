"""Record work on a CUDA GPU as a graph, to be launched as a whole again and again.

Knows streams, graphs and their memory; knows nothing of what the work is. Start at `CudaRecorder.record`.

A recorded graph runs the same kernels on the same addresses as the work did: its inputs are what lies there by then.
All graphs of a recorder share one pool of memory for what is between input and output, as large as the largest of
them needs; so no two of them may run at once, and none may leave an output there.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from jaxtyping import Shaped
from torch import Tensor

_REHEARSALS = 2
"""Libraries set themselves up in the first calls, which cannot be recorded."""


class Recorder(Protocol):
    """Makes work that can be repeated."""

    uses_pinned_memory: bool
    """Whether the host's side of copies must stay in memory for them to go on by themselves."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """What does the work again with what then lies in its inputs; RuntimeError if it cannot be recorded."""

    def wait(self) -> None:
        """Until all that was asked for so far is done."""

    def apart(self) -> "Recorder":
        """Another recorder of the same device, whose work may run beside this one's."""


class CudaRecorder:
    """Records work on one GPU."""

    uses_pinned_memory = True

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Do the work twice, on a stream of its own, then record it there.

        Other threads may go on using the GPU meanwhile.
        """
        with torch.cuda.device(self._device):
            stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_REHEARSALS):
                    work()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
                work()

        def replay() -> None:
            with torch.cuda.device(self._device):
                graph.replay()

        return replay

    def wait(self) -> None:
        """Until the device has done what the current stream was given."""
        torch.cuda.current_stream(self._device).synchronize()

    def apart(self) -> "CudaRecorder":
        """Another one, with a pool of its own."""
        return CudaRecorder(self._device)


class MirroredBuffer:
    """The same array on the host and on the device, at addresses that stay; no copy is waited for."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device, *, is_pinned: bool) -> None:
        self.host: Shaped[Tensor, "row ..."] = torch.zeros(*shape, dtype=dtype, pin_memory=is_pinned)
        self.device: Shaped[Tensor, "row ..."] = torch.zeros(*shape, dtype=dtype, device=device)

    def send(self, num_rows: int) -> None:
        """Copy the first rows to the device."""
        self.device[:num_rows].copy_(self.host[:num_rows], non_blocking=True)

    def fetch(self, num_rows: int) -> None:
        """Copy the first rows to the host; they are there once the recorder has waited."""
        self.host[:num_rows].copy_(self.device[:num_rows], non_blocking=True)
