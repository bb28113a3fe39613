"""Generate the most probable items of a trie for a batch of encoded views. Start at `search`.

Plain beam search (as in Hou et al. 2025, "ActionPiece", section 3.4). We differ: a beam takes only tokens that lead to
an allowed item, so every finished beam is a catalogue item; the end token is scored, and a beam that took it leaves the
batch; a beam that can no longer overtake the finished ones is dropped. Scores are those of the softmax that the
generator was trained with. If that is over reachable tokens, a beam with a single item below is finished at once, and
frees its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64
from torch import Tensor

from clairo_core.errors import GeneratorError
from clairo_core.generation.search.beam_candidates import (
    MINUS_INFINITY,
    best_places,
    log_sum_over_options,
    side_by_side,
)
from clairo_core.generation.t5.decoder_state import EncodedViews
from clairo_core.generation.t5.generator import Generator
from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.generation.trie.live_items import LiveItems, live_items
from clairo_core.ranking.allowed_items import AllowedItems
from clairo_core.tokens.tokenizer import TokenBatch
from clairo_core.tokens.vocabulary import EOS, PAD


@dataclass(frozen=True, eq=False)
class Beams:
    """The most probable items of each view, best first; ties are in the order of item rows."""

    item_rows: Int64[np.ndarray, "view beam"]
    """-1 where a view has fewer items."""
    scores: Float32[np.ndarray, "view beam"]
    """Log-probability of all tokens of the item and the end token; minus infinity without an item."""


def stacked_beams(searches: Sequence[Beams]) -> Beams:
    """The views of several searches as one batch; narrower searches are filled up."""
    width = max(beams.item_rows.shape[1] for beams in searches)
    missing = [((0, 0), (0, width - beams.item_rows.shape[1])) for beams in searches]
    rows = [np.pad(beams.item_rows, by, constant_values=-1) for beams, by in zip(searches, missing, strict=True)]
    scores = [np.pad(beams.scores, by, constant_values=-np.inf) for beams, by in zip(searches, missing, strict=True)]
    return Beams(np.concatenate(rows), np.concatenate(scores))


@dataclass(eq=False)
class _Frontier:
    """Unfinished beams: equally many places per view, unused ones at minus infinity."""

    nodes: Int[Tensor, "view beam"]
    scores: Float[Tensor, "view beam"]
    parents: Int[Tensor, "view*beam"]
    """The beam that each extends, in the order of the cache."""


def search(
    generator: Generator,
    trie: DeviceTrie,
    views: TokenBatch,
    num_beams: int,
    *,
    num_items: int | None = None,
    is_allowed: Sequence[AllowedItems] | None = None,
    request_of_view: Int[np.ndarray, "view"] | None = None,
    content: Float32[np.ndarray, "view place content_dim"] | None = None,
) -> Beams:
    """Find the `num_beams` most probable items of each view, or all that may be generated if fewer.

    With as many beams as the catalogue has items, the search is exact.

    Args:
        generator: scores tokens.
        trie: tokens of all items, on the generator's device.
        views: tokens of the histories, EOS included; none empty.
        num_beams: kept per view at each step.
        num_items: items to return per view, at least `num_beams`, which is the default. With a softmax over reachable
            tokens more cost little, since most need no step of their own; otherwise fewer may come back.
        is_allowed: by request, the items that may be generated; None allows all but retired ones.
        request_of_view: the place in `is_allowed` for each view; None pairs view v with place v.
        content: for a generator that reads it, the embeddings of the histories' items; see `padded_content`.

    Raises:
        GeneratorError: a view is empty, `num_beams` is below 1, or `num_items` is below `num_beams`.
    """
    num_items = num_beams if num_items is None else num_items
    if not 1 <= num_beams <= num_items or (len(views.lengths) and views.lengths.min() < 1):
        raise GeneratorError(
            f"got {num_beams} beams and {num_items} items for views of {views.lengths} tokens, expected at least 1 of "
            "each, and no fewer items than beams; widen num_items, or leave empty views out"
        )
    with torch.inference_mode():
        live = live_items(trie, is_allowed)
        requests = torch.zeros(len(views.ids), dtype=torch.long, device=generator.device)
        if is_allowed is not None:
            rows = np.arange(len(views.ids)) if request_of_view is None else request_of_view
            requests = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
            requests = requests.to(generator.device, non_blocking=True)
        ids, lengths = (torch.from_numpy(array) for array in (views.ids, views.lengths))
        encoded = generator.encode(
            ids.to(generator.device, non_blocking=True),
            lengths.to(generator.device, non_blocking=True),
            None if content is None else torch.from_numpy(content).to(generator.device, non_blocking=True),
        )
        return _Search(generator, trie, encoded, live, requests, num_beams, num_items).run()


class _Search:
    """One batch's search: its state across steps."""

    def __init__(
        self,
        generator: Generator,
        trie: DeviceTrie,
        views: EncodedViews,
        live: LiveItems,
        request_of_view: Int[Tensor, "view"],
        num_beams: int,
        num_items: int,
    ) -> None:
        self.generator = generator
        self.trie = trie
        self.views = views
        self.live = live
        self.request_of_view = request_of_view
        self.num_beams = num_beams
        self.num_items = num_items
        self.num_views = len(request_of_view)
        self.end_output = generator.weights.output_embeddings[EOS].float()
        self.finished_items: list[Int[Tensor, "view beam"]] = []
        self.finished_scores: list[Float[Tensor, "view beam"]] = []

    def run(self) -> Beams:
        """Step until no beam can enter the best items."""
        tokens = torch.full((self.num_views, 1), PAD, device=self.generator.device)
        hidden, cache = self.generator.step(tokens, self.views, self.generator.start())
        frontier = self.from_root(hidden[:, 0])
        while frontier is not None:
            hidden, cache = self.generator.step(self.trie.tokens[frontier.nodes], self.views, cache, frontier.parents)
            frontier = self.continued(frontier, hidden)
        return self.best()

    def from_root(self, hidden: Float[Tensor, "view d_model"]) -> _Frontier | None:
        """Choose the first tokens: the root has many children, the same for every view."""
        nodes = self.trie.root_children
        logits = torch.nn.functional.linear(hidden.float(), self.trie.root_output)
        if self.trie.is_reachable_softmax:
            of_options = torch.where(self.trie.is_option(nodes), logits, MINUS_INFINITY)
            normalizer = torch.logsumexp(of_options, dim=1)
        else:
            normalizer = self.generator.log_normalizer(hidden)
        views = torch.arange(self.num_views, device=nodes.device).repeat_interleave(len(nodes))
        return self.chosen(nodes.repeat(self.num_views), views, views, (logits - normalizer[:, None]).view(-1))

    def continued(self, frontier: _Frontier, hidden: Float[Tensor, "view beam d_model"]) -> _Frontier | None:
        """Finish the beams that spell an item, and extend all to their best children."""
        nodes, scores = frontier.nodes.reshape(-1), frontier.scores.reshape(-1)
        is_beam = scores > MINUS_INFINITY
        begins = self.trie.first_child[nodes]
        counts = torch.where(is_beam, self.trie.first_child[nodes + 1] - begins, 0)
        beams = torch.arange(len(nodes), device=nodes.device)
        parents = torch.repeat_interleave(beams, counts)
        place = torch.arange(len(parents), device=nodes.device) - (counts.cumsum(0) - counts)[parents]
        children = begins[parents] + place
        flat = hidden.view(len(nodes), -1)
        logits = self.generator.logits_of_pairs(flat, parents, self.trie.tokens[children])
        end_logits = torch.matmul(flat.float(), self.end_output)
        if self.trie.is_reachable_softmax:
            normalizer = log_sum_over_options(
                torch.where(self.trie.is_option(children), logits, MINUS_INFINITY),
                counts,
                torch.where(self.trie.is_end_option(nodes) & is_beam, end_logits, MINUS_INFINITY),
            )
        else:
            normalizer = self.generator.log_normalizer(flat)
        views = beams // frontier.nodes.shape[1]
        self.end(nodes, views, scores + (end_logits - normalizer))
        return self.chosen(children, views[parents], parents, scores[parents] + (logits - normalizer[parents]))

    def end(self, nodes: Int[Tensor, "beam"], views: Int[Tensor, "beam"], scores: Float[Tensor, "beam"]) -> None:
        """Finish beams that spell an item with the end token; equally many beams per view."""
        # The item that ends at a node is the first item at or below it.
        position, requests = self.trie.items_begin[nodes], self.request_of_view[views]
        is_live = self.live.is_any(position, position + 1, requests)
        ends = (self.trie.item_of_node[nodes] >= 0) & is_live & (scores > MINUS_INFINITY)
        by_view = (self.num_views, -1)
        self.finished_items.append(torch.where(ends, self.trie.item_of_node[nodes], -1).view(by_view))
        self.finished_scores.append(torch.where(ends, scores, MINUS_INFINITY).view(by_view))

    def chosen(
        self,
        nodes: Int[Tensor, "candidate"],
        views: Int[Tensor, "candidate"],
        parents: Int[Tensor, "candidate"],
        scores: Float[Tensor, "candidate"],
    ) -> _Frontier | None:
        """Choose the best candidates of each view, in the order of views; None if none can enter the best."""
        is_live = self.is_live(nodes, views) & (scores > MINUS_INFINITY)
        if self.trie.is_reachable_softmax:
            only_items = self.trie.only_items(nodes)
            is_certain = is_live & (only_items >= 0)
            self.finish_certain(only_items[is_certain], views[is_certain], scores[is_certain])
            is_live &= only_items < 0
        matters = (is_live & (scores > self.to_beat()[views])).nonzero()[:, 0]
        if not len(matters):
            return None
        table, column_of = side_by_side(scores[matters], views[matters], self.num_views)
        places, kept = best_places(table, self.num_beams)
        candidates = matters[column_of.gather(1, places)]
        return _Frontier(nodes[candidates], kept, parents[candidates].reshape(-1))

    def finish_certain(
        self, items: Int[Tensor, "candidate"], views: Int[Tensor, "candidate"], scores: Float[Tensor, "candidate"]
    ) -> None:
        """Finish candidates with a single item below: the remaining tokens have probability 1."""
        if not len(items):
            return
        table, column_of = side_by_side(scores, views, self.num_views)
        places, kept = best_places(table, self.num_items)
        self.finished_items.append(torch.where(kept > MINUS_INFINITY, items[column_of.gather(1, places)], -1))
        self.finished_scores.append(kept)

    def is_live(self, nodes: Int[Tensor, "*pair"], views: Int[Tensor, "*pair"]) -> Bool[Tensor, "*pair"]:
        """Whether an item at or below the node may be generated for the view."""
        return self.live.is_any(self.trie.items_begin[nodes], self.trie.items_end[nodes], self.request_of_view[views])

    def to_beat(self) -> Float[Tensor, "view"]:
        """The score of each view's last kept item, once enough are finished: log-probabilities only fall."""
        if sum(scores.shape[1] for scores in self.finished_scores) < self.num_items:
            return torch.full((self.num_views,), MINUS_INFINITY, device=self.generator.device)
        scores = torch.cat(self.finished_scores, dim=1)
        return scores.topk(self.num_items, dim=1).values[:, -1]

    def best(self) -> Beams:
        """Sort the finished beams of each view, and keep the best."""
        if not self.finished_items:
            shape = (self.num_views, self.num_items)
            return Beams(np.full(shape, -1), np.full(shape, MINUS_INFINITY, dtype=np.float32))
        item_rows = torch.cat(self.finished_items, dim=1).cpu().numpy().astype(np.int64)
        scores = torch.cat(self.finished_scores, dim=1).cpu().numpy()
        order = np.lexsort((item_rows, -scores), axis=1)[:, : self.num_items]
        return Beams(np.take_along_axis(item_rows, order, axis=1), np.take_along_axis(scores, order, axis=1))
