"""Record work on a CUDA GPU as a graph, and replay it as a whole. Start at `CudaRecorder.record`.

A graph runs the same kernels on the same addresses as the recorded work: new inputs are copied to the old addresses.
All graphs of a recorder share one memory pool for intermediate results, as large as the largest graph needs. So no two
of them may run at once, and outputs must not lie in the pool.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from jaxtyping import Shaped
from torch import Tensor

_REHEARSALS = 2
"""First calls initialize libraries, which cannot be recorded."""


class Recorder(Protocol):
    """Records work for replay."""

    uses_pinned_memory: bool
    """Whether host buffers must be pinned, for asynchronous copies."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a call that repeats the work on the current content of its inputs.

        Raises:
            RuntimeError: the work cannot be recorded.
        """

    def wait(self) -> None:
        """Wait until all work launched so far is done."""

    def apart(self) -> "Recorder":
        """Another recorder of the same device; its work may run beside this one's."""


class CudaRecorder:
    """Records work on one CUDA GPU."""

    uses_pinned_memory = True

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run the work twice on its own stream, then record it there. Other threads may use the GPU meanwhile."""
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
        """Wait until the current stream is done."""
        torch.cuda.current_stream(self._device).synchronize()

    def apart(self) -> "CudaRecorder":
        """Another recorder, with its own memory pool."""
        return CudaRecorder(self._device)


class MirroredBuffer:
    """One array on the host and on the device, at fixed addresses. Copies are asynchronous."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device, *, is_pinned: bool) -> None:
        self.host: Shaped[Tensor, "row ..."] = torch.zeros(*shape, dtype=dtype, pin_memory=is_pinned)
        self.device: Shaped[Tensor, "row ..."] = torch.zeros(*shape, dtype=dtype, device=device)

    def send(self, num_rows: int) -> None:
        """Copy the first rows to the device."""
        self.device[:num_rows].copy_(self.host[:num_rows], non_blocking=True)

    def fetch(self, num_rows: int) -> None:
        """Copy the first rows to the host; they are valid after `Recorder.wait`."""
        self.host[:num_rows].copy_(self.device[:num_rows], non_blocking=True)
