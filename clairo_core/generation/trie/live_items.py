"""Count the items at or below a node that each request may be given. Start at `live_items`.

Running counts in the trie's order are shared by all requests that leave out a few items, such as those of a history:
these are subtracted, and no pass over the catalogue is needed. Only a request with a mask has counts of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int32, Int64
from torch import Tensor

from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.ranking.allowed_items import AllowedItems


@dataclass(frozen=True, eq=False)
class LiveItems:
    """What some requests may be given, on the trie's device."""

    before: Int32[Tensor, "row item+1"]
    """Running counts, as of `Trie.live_before`."""
    row_of_request: Int64[Tensor, "request"]
    left_out: Int64[Tensor, "key"]
    """Items that `before` counts and the request leaves out, ascending: request times the width of
    `before`, plus the place in the trie's order."""

    def is_any(
        self, begins: Int[Tensor, "range"], ends: Int[Tensor, "range"], requests: Int[Tensor, "range"]
    ) -> Bool[Tensor, "range"]:
        """Whether the request may be given an item of this range of the trie's order."""
        rows = self.row_of_request[requests]
        counts = self.before[rows, ends] - self.before[rows, begins]
        if len(self.left_out):
            first = requests * self.before.shape[1]
            counts = counts - torch.searchsorted(self.left_out, first + ends)
            counts = counts + torch.searchsorted(self.left_out, first + begins)
        return counts > 0


def live_items(trie: DeviceTrie, allowed: Sequence[AllowedItems] | None) -> LiveItems:
    """What each request may be given; None allows one request every item that is not retired."""
    device, is_retired = trie.tokens.device, trie.trie.is_retired
    if allowed is None:
        nothing = torch.zeros(0, dtype=torch.long, device=device)
        return LiveItems(trie.live_before, torch.zeros(1, dtype=torch.long, device=device), nothing)
    before, row_of_request, keys = [], [], []
    masks = [of_request.by_row() for of_request in allowed if of_request.mask is not None]
    if len(masks) < len(allowed):
        before.append(trie.live_before)
    if masks:
        before.append(torch.from_numpy(trie.trie.live_before(np.stack(masks))).to(device, non_blocking=True))
    next_row = int(len(allowed) > len(masks))
    for request, of_request in enumerate(allowed):
        if of_request.mask is not None:
            row_of_request.append(next_row)
            next_row += 1
            continue
        row_of_request.append(0)
        places = trie.trie.place_of_item[of_request.left_out[~is_retired[of_request.left_out]]]
        keys.append(np.sort(places) + request * np.int64(trie.trie.num_items + 1))
    left_out = np.concatenate(keys) if keys else np.zeros(0, dtype=np.int64)
    return LiveItems(
        before[0] if len(before) == 1 else torch.cat(before),
        torch.tensor(row_of_request, device=device),
        torch.from_numpy(left_out).to(device, non_blocking=True),
    )
