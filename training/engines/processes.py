"""The processes of one training: each computes its share of every batch, and all take the same steps.

Start at `Processes.shared_loss`. Without dropout and sampling, weights equal those of one process up to rounding; with
them, each process draws its own. Batches, rates, validation and checkpoints do not depend on the number of processes,
so a training may resume with another one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

Value = TypeVar("Value")
Batch = TypeVar("Batch")


class SharedBatch(Protocol):
    """A batch that several processes can divide."""

    @property
    def total_weight(self) -> float:
        """Of its examples in the loss, which is a mean by weight."""

    def every(self, step: int, first: int) -> Self:
        """Each `step`-th example from `first` on, by similar length as all of them. May be empty."""


@dataclass(frozen=True, slots=True)
class Processes:
    """One of `count` processes that train a model together, in torch's default group if there are several."""

    number: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process validates, saves and reports. The others only compute."""
        return self.number == 0

    def shared_loss(
        self, model: nn.Module, loss_of: Callable[[Batch], Tensor], tables: Sequence[nn.Parameter] = ()
    ) -> Callable[[Batch], Tensor]:
        """A loss of this process's share of a batch. Its gradients are averages over all processes.

        Args:
            model: every process starts from the first one's weights. Every parameter has a part in the loss.
            loss_of: the mean loss of a batch; with several processes, of a `SharedBatch`.
            tables: parameters whose gradients are sparse; `gather_rows` averages them.

        Returns:
            A function whose mean over the processes is the loss of the whole batch.
        """
        if self.count == 1:
            return loss_of
        step = _Step(model, loss_of)
        for table in tables:
            dist.broadcast(table.data, 0)
        of_tables = {id(table) for table in tables}
        ignored = [name for name, parameter in step.named_parameters() if id(parameter) in of_tables]
        ignored += [name for name, _ in step.named_buffers()]
        # Buffers never change. Sparse gradients cannot be averaged on GPUs.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(step, ignored)  # type: ignore[no-untyped-call]
        shared = DistributedDataParallel(step)

        def loss_of_share(batch: Any) -> Tensor:
            share, weight = self.share_of(batch)
            loss: Tensor = shared(share) * weight
            return loss

        return loss_of_share

    def share_of(self, batch: SharedBatch) -> tuple[Any, float]:
        """This process's part of a batch, and its weight beside those of the others, 1 on average."""
        share = batch.every(self.count, self.number)
        weight = share.total_weight
        if not weight:
            # Every process takes part in every step. This one adds nothing.
            share = batch.every(self.count, 0)
        return share, self.count * weight / batch.total_weight

    def gather_rows(self, tables: Sequence[nn.Parameter]) -> None:
        """Average the sparse gradients of tables, after `backward`. Rows that several processes read are repeated."""
        for table in tables if self.count > 1 else ():
            assert table.grad is not None
            gradient = table.grad.coalesce()
            rows, values = self._gathered(gradient.indices()[0]), self._gathered(gradient.values())
            table.grad = torch.sparse_coo_tensor(rows[None], values / self.count, table.shape, check_invariants=False)

    def _gathered(self, rows: Tensor) -> Tensor:
        """The rows of all processes, one process after another."""
        lengths = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(self.count)]
        dist.all_gather(lengths, torch.tensor([len(rows)], device=rows.device))
        most = max(int(length) for length in lengths)
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[: len(rows)] = rows
        everybody = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(everybody, padded)
        return torch.cat([one[: int(length)] for one, length in zip(everybody, lengths, strict=True)])

    def mean(self, value: Tensor) -> float:
        """The mean of a number over all processes."""
        if self.count > 1:
            dist.all_reduce(value)
        return float(value) / self.count

    def by_first(self, compute: Callable[[], Value]) -> Value:
        """The first process computes a value, and all get it."""
        found: list[Any] = [compute() if self.is_first else None]
        if self.count > 1:
            dist.broadcast_object_list(found, 0)
        value: Value = found[0]
        return value


ALONE = Processes()


class _Step(nn.Module):
    """A loss as a module: torch averages the gradients of a module's parameters."""

    def __init__(self, model: nn.Module, loss_of: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.loss_of = loss_of

    def forward(self, batch: Any) -> Tensor:
        return self.loss_of(batch)
