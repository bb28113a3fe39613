"""AdamW for tables of which a step reads few rows: rows that a sparse gradient leaves out cost nothing.

Source: Kingma & Ba 2015, "Adam"; Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization". For sparse
gradients we differ: a row that is not read keeps its value and moments, as in torch's SparseAdam, the second moment is
one number per row, the mean over its columns, as in the row-wise Adagrad of Naumov et al. 2019 ("DLRM"), and biases are
corrected by how often the row was read.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class AdamWByRows(torch.optim.AdamW):
    """AdamW; a parameter with a sparse gradient is updated by rows, the others as torch does."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient; sparse gradients are consumed."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._step_rows(parameter, group)
                    parameter.grad = None
        return super().step(closure)

    def _step_rows(self, table: Tensor, group: dict[str, Any]) -> None:
        gradient = table.grad.coalesce()  # type: ignore[union-attr]
        rows, gradients = gradient.indices()[0], gradient.values()
        state = self.state[table]
        if not state:
            # Names are those of AdamW's state, and `step` is what torch never casts when it loads one.
            state["step"] = torch.zeros(len(table), 1, device=table.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), table.new_zeros(len(table), 1)
        early, late = group["betas"]
        steps = state["step"][rows] + 1.0
        mean = state["exp_avg"][rows].lerp_(gradients, 1.0 - early)
        square = state["exp_avg_sq"][rows].lerp_(gradients.square().mean(dim=1, keepdim=True), 1.0 - late)
        state["step"].index_copy_(0, rows, steps)
        state["exp_avg"].index_copy_(0, rows, mean)
        state["exp_avg_sq"].index_copy_(0, rows, square)
        scale = (square / (1.0 - late**steps)).sqrt_().add_(group["eps"])
        changed = table[rows].mul_(1.0 - group["lr"] * group["weight_decay"])
        table.index_copy_(0, rows, changed.addcdiv_(mean / (1.0 - early**steps), scale, value=-group["lr"]))
