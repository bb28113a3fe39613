"""A slow twin of vocabulary learning and tokenizing: plain Python, to be read beside the paper.

The compiled kernels must agree with this to the last token and count. A sequence of sets is a linked list in which
sets and slots take turns; a slot holds at most one token and counts as a set of one.

Source: Hou et al. 2025, "ActionPiece", sections 3.1 and 3.2, and the published code for what becomes of emptied sets
and for ties. Corrected: counts go down when a pair vanishes, weights are exact, and a pair that already has a token
merges into that token.
"""

import heapq
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Pair = tuple[int, int]
"""Two tokens, the smaller one first."""


@dataclass(eq=False)
class Node:
    """A set of tokens, in output order, or the slot between two sets."""

    tokens: list[int]
    is_slot: bool
    previous: "Node | None" = field(default=None, repr=False)
    following: "Node | None" = field(default=None, repr=False)
    weight: int = 1
    """Of a set's event."""


@dataclass(frozen=True)
class Rule:
    left: int
    right: int
    token: int
    scaled_count: int


def linked(sets: Sequence[Sequence[int]], weights: Sequence[int] | None = None) -> Node:
    """The first node of a list: set, slot, set, ... set."""
    weights = weights or [1] * len(sets)
    head = last = Node(list(sets[0]), is_slot=False, weight=weights[0])
    for tokens, weight in zip(sets[1:], weights[1:], strict=True):
        for node in (Node([], is_slot=True), Node(list(tokens), is_slot=False, weight=weight)):
            last.following, node.previous = node, last
            last = node
    return head


def nodes_from(head: Node | None) -> Iterator[Node]:
    while head is not None:
        yield head
        head = head.following


def sets_from(head: Node) -> list[Node]:
    return [node for node in nodes_from(head) if not node.is_slot]


def pair_of(one: int, other: int) -> Pair:
    return min(one, other), max(one, other)


# ---- Counting --------------------------------------------------------------------------------------------------


def meetings(head: Node) -> Iterator[tuple[Node, Node]]:
    """Pairs of nodes whose tokens can merge, in the order that resolves ties; a set with itself first.

    Neighbouring sets meet each other while the slot between them is empty; a full slot stands between them, and
    meets both.
    """
    for node in sets_from(head):
        yield node, node
        slot = node.following
        if slot is None:
            return
        if slot.tokens:
            yield node, slot
            yield slot.following, slot
        else:
            yield node, slot.following


def pairs_between(one: Node, other: Node) -> Iterator[Pair]:
    """The pairs of a meeting: two different tokens of one set, or one from each node."""
    if one is other:
        for place, first in enumerate(one.tokens):
            for second in one.tokens[place + 1 :]:
                yield pair_of(first, second)
    else:
        for first in one.tokens:
            for second in other.tokens:
                yield pair_of(first, second)


def weight_of(one: Node, other: Node, scale: int) -> int:
    """2/m inside a set of m tokens, 1/(m1*m2) across two nodes, times `scale`."""
    divisor = len(one.tokens) if one is other else len(one.tokens) * len(other.tokens)
    weight, rest = divmod(2 * scale if one is other else scale, divisor)
    assert rest == 0
    return weight


def event_weight(one: Node, other: Node, unit: int) -> int:
    """The weight of a set's event times the unit, or the product of those on both sides of a link."""
    if one is other:
        return one.weight * unit
    return other.previous.weight * other.following.weight if other.is_slot else one.weight * other.weight


def count_pairs(head: Node, scale: int, unit: int = 1) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for one, other in meetings(head):
        for pair in pairs_between(one, other):
            counts[pair] += weight_of(one, other, scale) * event_weight(one, other, unit)
    return counts


# ---- Merging ---------------------------------------------------------------------------------------------------


def merge_inside(node: Node, rule: Rule) -> None:
    if rule.left != rule.right and rule.left in node.tokens and rule.right in node.tokens:
        rest = [token for token in node.tokens if token not in (rule.left, rule.right)]
        node.tokens = [rule.token, *rest]


def merge_with_slot(node: Node, slot: Node, rule: Rule) -> None:
    for in_slot, in_set in ((rule.left, rule.right), (rule.right, rule.left)):
        if slot.tokens == [in_slot] and in_set in node.tokens:
            node.tokens.remove(in_set)
            slot.tokens = [rule.token]
            return


def merge_across(node: Node, slot: Node, next_node: Node, rule: Rule) -> None:
    for here, there in ((rule.left, rule.right), (rule.right, rule.left)):
        if here in node.tokens and there in next_node.tokens:
            node.tokens.remove(here)
            next_node.tokens.remove(there)
            slot.tokens = [rule.token]
            return


def apply_rule(head: Node, rule: Rule) -> Node:
    """Merge wherever the rule applies, once from left to right; returns the list's first node."""
    for node in sets_from(head):
        merge_inside(node, rule)
        slot = node.following
        if slot is None:
            break
        if slot.tokens:
            merge_with_slot(node, slot, rule)
            merge_with_slot(slot.following, slot, rule)
        else:
            merge_across(node, slot, slot.following, rule)
    return without_empty_sets(head)


def without_empty_sets(head: Node) -> Node:
    """Let empty sets take over the slot before them, or drop them with the slot behind; repeat until stable."""
    changed = True
    while changed:
        changed = False
        for node in sets_from(head):
            slot = node.previous
            if not node.tokens and slot is not None and slot.tokens:
                node.tokens, slot.tokens = slot.tokens, []
                changed = True
        for node in sets_from(head):
            slot = node.following
            if not node.tokens and slot is not None and not slot.tokens:
                rest = slot.following
                rest.previous = node.previous
                if node.previous is None:
                    head = rest
                else:
                    node.previous.following = rest
                changed = True
    return head


# ---- Learning --------------------------------------------------------------------------------------------------


def learn(  # noqa: PLR0912 - the algorithm in one piece, as the paper has it
    sequences: Sequence[Sequence[Sequence[int]]],
    first_token: int,
    num_rules: int,
    *,
    num_categories: int,
    given: Sequence[Pair] = (),
    given_counts: Sequence[int] = (),
    weights: Sequence[Sequence[int]] | None = None,
    unit: int = 1,
) -> list[Rule]:
    """Merge the heaviest pair until there are `num_rules` rules or no pair is left.

    Given rules come before any that is learned. A pair that has a rule and is the heaviest again is merged again.
    Events weigh `weights` of the unit.
    """
    scale = math.lcm(*range(1, num_categories + 1)) ** 2
    weights = weights or [[1] * len(sets) for sets in sequences]
    heads = [linked(sets, of_sets) for sets, of_sets in zip(sequences, weights, strict=True) if len(sets)]
    counts_of = [count_pairs(head, scale, unit) for head in heads]
    total: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)
    for place, counts in enumerate(counts_of):
        total.update(counts)
        for pair in counts:
            places[pair].add(place)
    queue = [(-count, pair) for pair, count in total.items()]
    heapq.heapify(queue)
    rules: dict[Pair, Rule] = {}
    while len(rules) < num_rules:
        while queue and -queue[0][0] != total[queue[0][1]]:
            heapq.heappop(queue)
        heaviest = queue[0][1] if queue else None
        if heaviest not in rules:
            token = first_token + len(rules)
            if len(rules) < len(given):
                heaviest = given[len(rules)]
                rules[heaviest] = Rule(*heaviest, token, given_counts[len(rules)])
            elif heaviest is not None:
                rules[heaviest] = Rule(*heaviest, token, max(total[heaviest] // unit**2, 1))
            else:
                break
        changed: set[Pair] = set()
        for place in sorted(places[heaviest]):
            heads[place] = apply_rule(heads[place], rules[heaviest])
            before, after = counts_of[place], count_pairs(heads[place], scale, unit)
            counts_of[place] = after
            for pair in before.keys() | after.keys():
                if before[pair] != after[pair]:
                    total[pair] += after[pair] - before[pair]
                    changed.add(pair)
            for pair in before.keys() - after.keys():
                places[pair].discard(place)
            for pair in after.keys() - before.keys():
                places[pair].add(place)
        for pair in changed:
            if total[pair] > 0:
                heapq.heappush(queue, (-total[pair], pair))
            else:
                del total[pair]
    return list(rules.values())


# ---- Encoding --------------------------------------------------------------------------------------------------


def by_pair(rules: Iterable[Rule]) -> dict[Pair, Rule]:
    return {(rule.left, rule.right): rule for rule in rules}


def encode_canonical(
    sets: Sequence[Sequence[int]], rules: Mapping[Pair, Rule], expanded_at: Sequence[int] = ()
) -> list[int]:
    """Merge the pair with the greatest rule count times weight, the first of ties, until nothing merges."""
    if not len(sets):
        return []
    head = linked(sets)
    scale = math.lcm(*range(1, len(sets[0]) + 1)) ** 2
    for limit in (*expanded_at, math.inf):
        while True:
            best = None
            for one, other in meetings(head):
                for pair in pairs_between(one, other):
                    rule = rules.get(pair)
                    if rule is not None and rule.token < limit:
                        weight = rule.scaled_count * weight_of(one, other, scale)
                        if best is None or weight > best[0]:
                            best = weight, rule, one, other
            if best is None:
                break
            _, rule, one, other = best
            if one is other:
                merge_inside(one, rule)
            elif other.is_slot:
                merge_with_slot(one, other, rule)
            else:
                merge_across(one, one.following, other, rule)
            head = without_empty_sets(head)
    return [token for node in nodes_from(head) for token in node.tokens]


def merge_flat(tokens: Sequence[int], rules: Mapping[Pair, Rule]) -> list[int]:
    """Byte-pair encoding: the pair with the lowest token first, the leftmost first."""
    merged = list(tokens)
    while True:
        candidates = [
            (rules[pair_of(*two)].token, place)
            for place, two in enumerate(itertools.pairwise(merged))
            if pair_of(*two) in rules
        ]
        if not candidates:
            return merged
        token, place = min(candidates)
        merged[place : place + 2] = [token]


def encode_view(sets: Sequence[Sequence[int]], rules: Mapping[Pair, Rule], *, seed: int, view: int) -> list[int]:
    """Random view number `view`: shuffle every set by the view's own random stream, then merge flat."""
    stream = random_stream(seed, view)
    flat: list[int] = []
    for tokens in sets:
        shuffled = list(tokens)
        for last in range(len(shuffled) - 1, 0, -1):
            chosen = (next(stream) >> 32) * (last + 1) >> 32
            shuffled[last], shuffled[chosen] = shuffled[chosen], shuffled[last]
        flat += shuffled
    return merge_flat(flat, rules)


def splitmix(state: int) -> int:
    """One number of splitmix64 (Steele et al. 2014); its state rises by a constant per number."""
    mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return mixed ^ (mixed >> 31)


def random_stream(seed: int, view: int) -> Iterator[int]:
    step = 0x9E3779B97F4A7C15
    state = splitmix((splitmix((seed + step) % 2**64) ^ view) + step & 2**64 - 1)
    while True:
        state = (state + step) % 2**64
        yield splitmix(state)
