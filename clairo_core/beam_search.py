"""Generate the most probable items of a trie for a batch of encoded views; every beam is an item.

Knows nodes, log-probabilities and item rows; knows nothing of histories, item ids or files. Start at `search`.

Plain beam search (as in Hou et al. 2025, "ActionPiece", section 3.4). We differ: a beam only ever takes a token that
leads to an item which may be generated, so none is spent on what is no item; the end token is scored, and a beam that
took it leaves the batch; and a beam that cannot overtake the finished ones any more is dropped. Scores stay those of
the whole softmax.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int32, Int64
from torch import Tensor

from clairo_core.errors import GeneratorError
from clairo_core.generator import EncodedViews, Generator
from clairo_core.tokenizer import TokenBatch
from clairo_core.trie import Trie
from clairo_core.vocabulary import EOS, PAD

MINUS_INFINITY = float("-inf")


@dataclass(frozen=True, eq=False)
class Beams:
    """For each view its most probable items, best first; ties are in the order of item rows."""

    item_rows: Int64[np.ndarray, "view beam"]
    """-1 where there are fewer items than beams."""
    scores: Float32[np.ndarray, "view beam"]
    """Log-probability of all the item's tokens and the end token; minus infinity where there is no item."""


class DeviceTrie:
    """A trie's arrays on the generator's device, and the root's part of the output matrix."""

    def __init__(self, trie: Trie, generator: Generator) -> None:
        def on_device(array: Int32[np.ndarray, "..."]) -> Int32[Tensor, "..."]:
            return torch.from_numpy(array).to(generator.device)

        self.trie = trie
        self.tokens = on_device(trie.tokens)
        self.first_child = on_device(trie.first_child)
        self.item_of_node = on_device(trie.item_of_node)
        self.items_begin = on_device(trie.items_begin)
        self.items_end = on_device(trie.items_end)
        self.live_before = on_device(trie.live_before())
        num_at_root = int(trie.first_child[1]) - 1
        self.root_children = torch.arange(1, num_at_root + 1, device=generator.device)
        self.root_output = generator.output_rows(self.tokens[1 : num_at_root + 1])


@dataclass(eq=False)
class _Frontier:
    """Beams that are not finished: as many places for every view, those without a beam at minus infinity."""

    nodes: Int[Tensor, "view beam"]
    scores: Float[Tensor, "view beam"]
    parents: Int[Tensor, "view*beam"]
    """The beam that each went on from, in the order of the cache."""


def search(
    generator: Generator,
    trie: DeviceTrie,
    views: TokenBatch,
    num_beams: int,
    *,
    live_before: Int32[np.ndarray, "request item+1"] | None = None,
    request_of_view: Int[np.ndarray, "view"] | None = None,
) -> Beams:
    """The `num_beams` most probable items of each view, or all there are.

    As wide as the catalogue, it is exact. As many items come back as may be generated, up to `num_beams`.

    Args:
        generator: scores tokens.
        trie: all items' tokens, on the generator's device.
        views: tokens of the histories, EOS included; at least one each.
        num_beams: kept for each view at each step.
        live_before: which items may be generated, as `Trie.live_before` counts them; without it, all that live.
        request_of_view: the row of `live_before` for each view; without it, view v has row v.

    Raises:
        GeneratorError: a view is empty, or `num_beams` is not positive.
    """
    if num_beams < 1 or (len(views.lengths) and views.lengths.min() < 1):
        raise GeneratorError(f"{num_beams} beams and views of {views.lengths} tokens; each must be at least 1")
    with torch.inference_mode():
        live = trie.live_before
        if live_before is not None:
            live = torch.from_numpy(live_before).to(generator.device)
        requests = torch.zeros(len(views.ids), dtype=torch.long, device=generator.device)
        if live_before is not None:
            rows = np.arange(len(views.ids)) if request_of_view is None else request_of_view
            requests = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64)).to(generator.device)
        encoded = generator.encode(
            torch.from_numpy(views.ids).to(generator.device), torch.from_numpy(views.lengths).to(generator.device)
        )
        return _Search(generator, trie, encoded, live, requests, num_beams).run()


class _Search:
    """One batch's search: what stays the same from step to step."""

    def __init__(
        self,
        generator: Generator,
        trie: DeviceTrie,
        views: EncodedViews,
        live_before: Int[Tensor, "request item+1"],
        request_of_view: Int[Tensor, "view"],
        num_beams: int,
    ) -> None:
        self.generator = generator
        self.trie = trie
        self.views = views
        self.live_before = live_before
        self.request_of_view = request_of_view
        self.num_beams = num_beams
        self.num_views = len(request_of_view)
        self.end_output = generator.output_rows(torch.tensor([EOS], device=generator.device))[0]
        self.finished_items: list[Int[Tensor, "view beam"]] = []
        self.finished_scores: list[Float[Tensor, "view beam"]] = []

    def run(self) -> Beams:
        """Step until no beam is left that could still enter the best."""
        tokens = torch.full((self.num_views, 1), PAD, device=self.generator.device)
        hidden, cache = self.generator.step(tokens, self.views, self.generator.start())
        frontier = self.from_root(hidden[:, 0])
        while frontier is not None:
            hidden, cache = self.generator.step(self.trie.tokens[frontier.nodes], self.views, cache, frontier.parents)
            scores = frontier.scores - self.generator.log_normalizer(hidden)
            self.finish(frontier.nodes, scores, hidden)
            frontier = self.children(frontier.nodes, scores, hidden)
        return self.best()

    def from_root(self, hidden: Float[Tensor, "view d_model"]) -> _Frontier | None:
        """The first tokens: the root has many children, the same for every view."""
        nodes = self.trie.root_children
        logits = torch.nn.functional.linear(hidden.float(), self.trie.root_output)
        scores = logits - self.generator.log_normalizer(hidden)[:, None]
        views = torch.arange(self.num_views, device=nodes.device)
        is_live = self.is_live(nodes[None, :], views[:, None])
        scores = torch.where(is_live, scores, MINUS_INFINITY)
        chosen, kept = best_places(scores, self.num_beams)
        if not len(nodes) or not bool((kept > MINUS_INFINITY).any()):
            return None
        parents = views.repeat_interleave(chosen.shape[1])
        return _Frontier(nodes[chosen], kept, parents)

    def finish(
        self,
        nodes: Int[Tensor, "view beam"],
        scores: Float[Tensor, "view beam"],
        hidden: Float[Tensor, "view beam d_model"],
    ) -> None:
        """Let beams that spell an item take the end token."""
        views = torch.arange(self.num_views, device=nodes.device)[:, None]
        # The item that ends at a node is the first of those below it.
        position = self.trie.items_begin[nodes]
        requests = self.request_of_view[views]
        is_live = self.live_before[requests, position + 1] > self.live_before[requests, position]
        ends = (self.trie.item_of_node[nodes] >= 0) & is_live & (scores > MINUS_INFINITY)
        end_scores = scores + torch.matmul(hidden.float(), self.end_output)
        self.finished_items.append(torch.where(ends, self.trie.item_of_node[nodes], -1))
        self.finished_scores.append(torch.where(ends, end_scores, MINUS_INFINITY))

    def children(
        self,
        nodes: Int[Tensor, "view beam"],
        scores: Float[Tensor, "view beam"],
        hidden: Float[Tensor, "view beam d_model"],
    ) -> _Frontier | None:
        """The best children of all beams of each view; None if no beam has one that could matter."""
        flat = nodes.reshape(-1)
        begins = self.trie.first_child[flat]
        counts = self.trie.first_child[flat + 1] - begins
        counts = torch.where(scores.reshape(-1) > MINUS_INFINITY, counts, 0)
        parents = torch.repeat_interleave(torch.arange(len(flat), device=flat.device), counts)
        if not len(parents):
            return None
        place = torch.arange(len(parents), device=flat.device) - (counts.cumsum(0) - counts)[parents]
        child = begins[parents] + place
        view = parents // nodes.shape[1]
        logits = self.generator.logit_of_each(hidden.view(len(flat), -1)[parents], self.trie.tokens[child])
        child_scores = scores.reshape(-1)[parents] + logits
        matters = self.is_live(child, view) & (child_scores > self.to_beat()[view])
        child, view, parents, child_scores = child[matters], view[matters], parents[matters], child_scores[matters]
        if not len(child):
            return None
        # Candidates of each view side by side in one table, so that one call ranks them all.
        num_of_view = torch.bincount(view, minlength=self.num_views)
        column = torch.arange(len(view), device=view.device) - (num_of_view.cumsum(0) - num_of_view)[view]
        table = torch.full((self.num_views, int(num_of_view.max())), MINUS_INFINITY, device=view.device)
        table[view, column] = child_scores
        candidate = torch.zeros(table.shape, dtype=torch.long, device=view.device)
        candidate[view, column] = torch.arange(len(view), device=view.device)
        chosen, kept = best_places(table, self.num_beams)
        candidates = candidate.gather(1, chosen)
        return _Frontier(child[candidates], kept, parents[candidates].reshape(-1))

    def is_live(self, nodes: Int[Tensor, "*pair"], views: Int[Tensor, "*pair"]) -> Bool[Tensor, "*pair"]:
        """Whether some item at or below the node may be generated for the view."""
        requests = self.request_of_view[views]
        ends, begins = self.trie.items_end[nodes], self.trie.items_begin[nodes]
        return self.live_before[requests, ends] > self.live_before[requests, begins]

    def to_beat(self) -> Float[Tensor, "view"]:
        """The score of each view's last finished beam, once there are enough: probabilities only fall on the way."""
        scores = torch.cat(self.finished_scores, dim=1)
        if scores.shape[1] < self.num_beams:
            return torch.full((self.num_views,), MINUS_INFINITY, device=scores.device)
        return scores.topk(self.num_beams, dim=1).values[:, -1]

    def best(self) -> Beams:
        """The best finished beams of each view."""
        if not self.finished_items:
            shape = (self.num_views, self.num_beams)
            return Beams(np.full(shape, -1), np.full(shape, MINUS_INFINITY, dtype=np.float32))
        item_rows = torch.cat(self.finished_items, dim=1).cpu().numpy().astype(np.int64)
        scores = torch.cat(self.finished_scores, dim=1).cpu().numpy()
        order = np.lexsort((item_rows, -scores), axis=1)[:, : self.num_beams]
        return Beams(np.take_along_axis(item_rows, order, axis=1), np.take_along_axis(scores, order, axis=1))


def best_places(
    scores: Float[Tensor, "row place"], count: int
) -> tuple[Int[Tensor, "row chosen"], Float[Tensor, "row chosen"]]:
    """The places of each row's `count` highest scores, in rising order of place; ties take the lower place.

    torch.topk leaves open which of equal scores it takes, and may take others on another device.
    """
    if scores.shape[1] <= count:
        places = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape)
        return places, scores
    last = scores.topk(count, dim=1).values[:, -1:]
    is_above = scores > last
    num_above = is_above.sum(dim=1, keepdim=True)
    is_tied = scores == last
    is_chosen = is_above | (is_tied & (is_tied.cumsum(dim=1) <= count - num_above))
    places = is_chosen.nonzero()[:, 1].view(-1, count)
    return places, scores.gather(1, places)


def score_all_items(generator: Generator, canonical: TokenBatch, views: TokenBatch) -> Float32[np.ndarray, "view item"]:
    """Every item's exact score for every view, each spelt out to its end: what beams approach.

    It takes a decoder row for every item and view, and is meant for small catalogues and for checking beams.
    """
    num_items, width = canonical.ids.shape
    tokens = np.full((num_items, width + 1), PAD, dtype=np.int64)
    tokens[:, :-1] = canonical.ids
    tokens[np.arange(num_items), canonical.lengths] = EOS
    with torch.inference_mode():
        device = generator.device
        encoded = generator.encode(torch.from_numpy(views.ids).to(device), torch.from_numpy(views.lengths).to(device))
        targets = torch.from_numpy(tokens).to(device).expand(len(views.ids), -1, -1)
        is_target = torch.from_numpy(np.arange(width + 1) <= canonical.lengths[:, None]).to(device)
        scores = torch.zeros(targets.shape[:2], device=device)
        cache, previous = generator.start(), torch.full_like(targets[:, :, 0], PAD)
        for position in range(width + 1):
            hidden, cache = generator.step(previous, encoded, cache)
            target = targets[:, :, position]
            logits = generator.logit_of_each(hidden.flatten(0, 1), target.flatten()).view(scores.shape)
            step_scores = logits - generator.log_normalizer(hidden)
            scores = scores + torch.where(is_target[:, position], step_scores, 0.0)
            previous = target
        return scores.cpu().numpy()
