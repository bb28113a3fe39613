"""`beam_search.search` in a fixed number of steps of fixed shapes, for CUDA graphs. Start at `StaticSearch.run`.

Items and scores are the same. We differ in the computation: one step per level of the trie, whether or not beams are
left; places for as many children as the beams of any view could have, unused ones at minus infinity; the best finished
items in one table. Nothing here depends on the device.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int, Int32, Int64
from torch import Tensor
from torch.nn import functional

from clairo_core.generation.recorded.padded_trie import PaddedTrie
from clairo_core.generation.search.beam_candidates import MINUS_INFINITY, log_sum_over_options
from clairo_core.generation.t5.generator import Generator
from clairo_core.generation.trie.trie import ROOT
from clairo_core.tokens.vocabulary import EOS, PAD

_ALL_BUT_SIGN = 0x7FFFFFFF
_LOW_BITS = 0xFFFFFFFF


@dataclass(eq=False)
class _Frontier:
    """Unfinished beams; unused places have a score of minus infinity."""

    nodes: Int[Tensor, "view beam"]
    scores: Float[Tensor, "view beam"]
    parents: Int[Tensor, "view*beam"]
    """The beam that each extends, in the order of the cache."""


class StaticSearch:
    """A search of a trie that may be reloaded between two runs."""

    def __init__(self, generator: Generator, trie: PaddedTrie, num_beams: int, num_items: int) -> None:
        self.generator = generator
        self.trie = trie
        self.num_beams = num_beams
        self.num_items = num_items

    def run(
        self,
        ids: Int32[Tensor, "view length"],
        lengths: Int32[Tensor, "view"],
        is_allowed: Bool[Tensor, "request item"],
    ) -> tuple[Int64[Tensor, "view beam"], Float32[Tensor, "view beam"]]:
        """Find the `num_items` most probable items of each view, as in `Beams`.

        Args:
            ids: tokens, filled with PAD; every request has equally many views, adjacent.
            lengths: of each view, at least 1.
            is_allowed: by item row, as many as the trie holds; retired items are always left out.
        """
        return _Run(self, ids, lengths, is_allowed).best()


class _Run:
    """One batch."""

    def __init__(
        self,
        search: StaticSearch,
        ids: Int32[Tensor, "view length"],
        lengths: Int32[Tensor, "view"],
        is_allowed: Bool[Tensor, "request item"],
    ) -> None:
        self.generator, self.trie = search.generator, search.trie
        self.num_beams = search.num_beams
        self.device, self.num_views = ids.device, len(ids)
        self.views = torch.arange(self.num_views, device=self.device)[:, None]
        self.request_of_view = self.views // (self.num_views // len(is_allowed))
        live = self.trie.live_before[0]
        is_live = is_allowed[:, self.trie.item_order] & (live[1:] > live[:-1])
        self.live_before = functional.pad(is_live.cumsum(1, dtype=torch.int32), (1, 0))
        self.encoded = self.generator.encode(ids, lengths)
        self.end_output = self.generator.weights.output_embeddings[EOS].float()
        nothing = torch.full((self.num_views, search.num_items), MINUS_INFINITY, device=self.device)
        self.finished = ranking_keys(nothing, torch.full_like(nothing, -1, dtype=torch.long))

    def best(self) -> tuple[Int64[Tensor, "view beam"], Float32[Tensor, "view beam"]]:
        """Step through all levels, and return the finished items, best first."""
        widths = self.trie.shape.child_widths
        tokens = torch.full((self.num_views, 1), PAD, device=self.device)
        hidden, cache = self.generator.step(tokens, self.encoded, self.generator.start())
        frontier = self.from_root(hidden[:, 0], is_last=not widths)
        for level, width in enumerate(widths):
            tokens = self.trie.tokens[frontier.nodes]
            hidden, cache = self.generator.step(tokens, self.encoded, cache, frontier.parents)
            frontier = self.continued(frontier, hidden, width, is_last=level == len(widths) - 1)
        return tie_breakers_of(self.finished), scores_of(self.finished)

    def from_root(self, hidden: Float[Tensor, "view d_model"], *, is_last: bool) -> _Frontier:
        """Choose the first tokens: the root has many children, the same for every view."""
        nodes, is_child = self.trie.root_children, self.trie.is_root_child()
        logits = functional.linear(hidden.float(), self.trie.root_output)
        if self.trie.is_reachable_softmax:
            of_options = torch.where(self.trie.is_option(nodes) & is_child, logits, MINUS_INFINITY)
            normalizer = torch.logsumexp(of_options, dim=1)
        else:
            normalizer = self.generator.log_normalizer(hidden)
        shape, scores = logits.shape, logits - normalizer[:, None]
        return self.chosen(
            nodes.expand(shape), self.views.expand(shape), scores, is_child.expand(shape), is_last=is_last
        )

    def continued(
        self, frontier: _Frontier, hidden: Float[Tensor, "view beam d_model"], width: int, *, is_last: bool
    ) -> _Frontier:
        """Finish the beams that spell an item, and extend all to their best children."""
        nodes, scores = frontier.nodes, frontier.scores
        is_beam = scores > MINUS_INFINITY
        begins = self.trie.first_child[nodes].long()
        counts = torch.where(is_beam, self.trie.first_child[nodes + 1] - begins, 0)
        # All children of a view's beams side by side, then unused places.
        upto = counts.cumsum(1)
        places = torch.arange(width, device=self.device).repeat(self.num_views, 1)
        is_child = places < upto[:, -1:]
        beams = torch.searchsorted(upto, places, right=True).clamp_(max=nodes.shape[1] - 1)
        children = torch.where(is_child, places + (begins - (upto - counts)).gather(1, beams), ROOT)
        parents = beams + self.views * nodes.shape[1]
        flat = hidden.flatten(0, 1)
        logits = self.generator.logits_of_pairs(flat, parents.view(-1), self.trie.tokens[children].view(-1))
        logits = logits.view(children.shape)
        end_logits = torch.matmul(flat.float(), self.end_output).view(nodes.shape)
        if self.trie.is_reachable_softmax:
            normalizer = self.over_options(nodes, is_beam, counts, end_logits, children, is_child, logits)
        else:
            normalizer = self.generator.log_normalizer(hidden)
        self.end(nodes, scores + (end_logits - normalizer))
        child_scores = scores.gather(1, beams) + (logits - normalizer.gather(1, beams))
        return self.chosen(children, parents, child_scores, is_child, is_last=is_last)

    def over_options(
        self,
        nodes: Int[Tensor, "view beam"],
        is_beam: Bool[Tensor, "view beam"],
        counts: Int[Tensor, "view beam"],
        end_logits: Float[Tensor, "view beam"],
        children: Int[Tensor, "view child"],
        is_child: Bool[Tensor, "view child"],
        logits: Float[Tensor, "view child"],
    ) -> Float[Tensor, "view beam"]:
        """The softmax's log-denominators; unused places count as one more beam per view."""
        num_places = counts.new_full((self.num_views, 1), children.shape[1])
        all_counts = torch.cat([counts, num_places - counts.sum(1, keepdim=True)], dim=1)
        ends = torch.where(self.trie.is_end_option(nodes) & is_beam, end_logits, MINUS_INFINITY)
        sums = log_sum_over_options(
            torch.where(self.trie.is_option(children) & is_child, logits, MINUS_INFINITY).view(-1),
            all_counts.view(-1),
            functional.pad(ends, (0, 1), value=MINUS_INFINITY).view(-1),
        )
        return sums.view(all_counts.shape)[:, :-1]

    def end(self, nodes: Int[Tensor, "view beam"], scores: Float[Tensor, "view beam"]) -> None:
        """Finish beams that spell an item with the end token."""
        position, items = self.trie.items_begin[nodes], self.trie.item_of_node[nodes]
        # The item that ends at a node is the first item at or below it.
        is_live = self.live_at(position + 1) > self.live_at(position)
        self.finish(items, scores, (items >= 0) & is_live & (scores > MINUS_INFINITY))

    def chosen(
        self,
        nodes: Int[Tensor, "view candidate"],
        parents: Int[Tensor, "view candidate"],
        scores: Float[Tensor, "view candidate"],
        is_candidate: Bool[Tensor, "view candidate"],
        *,
        is_last: bool,
    ) -> _Frontier:
        """Choose the best candidates of each view, in their order; none after the last step."""
        is_live = self.live_at(self.trie.items_end[nodes]) > self.live_at(self.trie.items_begin[nodes])
        is_live &= is_candidate & (scores > MINUS_INFINITY)
        if self.trie.is_reachable_softmax:
            # A candidate with a single item below is finished: the remaining tokens have probability 1.
            only_items = self.trie.only_items(nodes)
            self.finish(only_items, scores, is_live & (only_items >= 0))
            is_live &= only_items < 0
        if is_last:
            return _Frontier(nodes[:, :0], scores[:, :0], parents[:, :0].reshape(-1))
        to_beat = scores_of(self.finished[:, -1:])
        live_scores = torch.where(is_live & (scores > to_beat), scores, MINUS_INFINITY)
        places = best_places_of_all(live_scores, min(self.num_beams, scores.shape[1]))
        return _Frontier(nodes.gather(1, places), live_scores.gather(1, places), parents.gather(1, places).reshape(-1))

    def finish(
        self,
        items: Int[Tensor, "view candidate"],
        scores: Float[Tensor, "view candidate"],
        is_finished: Bool[Tensor, "view candidate"],
    ) -> None:
        """Add candidates to the finished items, and keep the best."""
        keys = ranking_keys(torch.where(is_finished, scores, MINUS_INFINITY), torch.where(is_finished, items, -1))
        num_kept = self.finished.shape[1]
        self.finished = torch.cat([self.finished, keys], dim=1).topk(num_kept, dim=1).values

    def live_at(self, positions: Int[Tensor, "view node"]) -> Int[Tensor, "view node"]:
        """Number of items before each position of the trie's order that may be generated for the view."""
        return self.live_before[self.request_of_view, positions]


def best_places_of_all(scores: Float[Tensor, "row place"], count: int) -> Int64[Tensor, "row chosen"]:
    """Places of each row's `count` highest scores, ascending; ties take the lower place."""
    places = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape)
    best = ranking_keys(scores, places).topk(count, dim=1).values
    return tie_breakers_of(best).sort(dim=1).values


def ranking_keys(scores: Float32[Tensor, "*row"], tie_breakers: Int[Tensor, "*row"]) -> Int64[Tensor, "*row"]:
    """One integer per score and tie breaker, ordered by score, then by lower tie breaker.

    torch.topk leaves ties undefined; these integers are distinct. Tie breakers are -1 to 2^31 - 1.
    """
    # A float32's bits sort as its value, negative ones in reverse; adding 0.0 turns -0.0 into 0.0.
    bits = (scores + 0.0).view(torch.int32)
    in_order = torch.where(bits < 0, bits ^ _ALL_BUT_SIGN, bits)
    return (in_order.long() << 32) + (_ALL_BUT_SIGN - tie_breakers)


def scores_of(keys: Int64[Tensor, "*row"]) -> Float32[Tensor, "*row"]:
    """The scores in ranking keys."""
    in_order = (keys >> 32).to(torch.int32)
    return torch.where(in_order < 0, in_order ^ _ALL_BUT_SIGN, in_order).view(torch.float32)


def tie_breakers_of(keys: Int64[Tensor, "*row"]) -> Int64[Tensor, "*row"]:
    """The tie breakers in ranking keys."""
    return _ALL_BUT_SIGN - (keys & _LOW_BITS)
