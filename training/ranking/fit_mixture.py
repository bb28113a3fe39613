"""Fit the weights of the components on validation users, so that their next items rank first. Start at `fit_mixture`.

A softmax over each user's candidates and the cross-entropy of the next item (listwise, Cao et al. 2007). The number of
epochs is fixed: it could only be chosen on the same users. Items that never occur in training are not weighed; see
`calibrate_new_items`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from clairo_core.ranking.candidate_features import PER_COMPONENT, candidate_features, num_features
from clairo_core.ranking.mixture import Mixture
from training.workbench.eight_bit_dropout import EightBitDropout

FLOOR_SHARE = 0.2
"""A component's floor, as a share of its mean score over candidates."""
LEAST_FLOOR = 1e-12
HIDDEN = 64
DROPOUT_RATE = 0.2
EPOCHS = 15
BATCH_SIZE = 64
LEARNING_RATE, WEIGHT_DECAY, WARMUP_SHARE = 3e-3, 1e-2, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class MixtureExamples:
    """Users with a known next item, and the candidates that compete for their first place, user after user."""

    components: tuple[str, ...]
    evidence_names: tuple[str, ...]
    scores: Float32[np.ndarray, "candidate component"]
    evidence: Float32[np.ndarray, "candidate kind"]
    """Pair evidence."""
    training_counts: Int64[np.ndarray, "candidate"]
    is_target: Bool[np.ndarray, "candidate"]
    is_proposed_by: Bool[np.ndarray, "candidate component"]
    """Which components proposed the candidate."""
    num_candidates: Int64[np.ndarray, "user"]
    history_lengths: Int64[np.ndarray, "user"]
    target_counts: Int64[np.ndarray, "user"]
    """Training count of each user's next item, which need not be among the candidates."""

    @property
    def user_of(self) -> Int64[np.ndarray, "candidate"]:
        """The user that each candidate is one of."""
        return np.repeat(np.arange(len(self.num_candidates)), self.num_candidates)

    @property
    def has_target(self) -> Bool[np.ndarray, "user"]:
        """Users whose next item is among their candidates."""
        has_target: Bool[np.ndarray, "user"] = np.isin(
            np.arange(len(self.num_candidates)), self.user_of[self.is_target]
        )
        return has_target

    def slices(self) -> Iterator[slice]:
        """The candidates of one user after another."""
        end = 0
        for num_candidates in self.num_candidates.tolist():
            yield slice(end, end := end + num_candidates)

    def of_users(self, users: Bool[np.ndarray, "user"] | Int64[np.ndarray, "some"] | slice) -> "MixtureExamples":
        """Some of the users."""
        starts = np.cumsum(self.num_candidates) - self.num_candidates
        rows = rows_of(starts[users], self.num_candidates[users])
        return replace(
            self._of_rows(rows),
            num_candidates=self.num_candidates[users],
            history_lengths=self.history_lengths[users],
            target_counts=self.target_counts[users],
        )

    def of_candidates(self, is_kept: Bool[np.ndarray, "candidate"]) -> "MixtureExamples":
        """All users with some of their candidates."""
        if is_kept.all():
            return self
        num_kept = np.bincount(self.user_of[is_kept], minlength=len(self.num_candidates))
        return replace(self._of_rows(is_kept), num_candidates=num_kept)

    def of_components(self, components: tuple[str, ...]) -> "MixtureExamples":
        """What these components proposed, and their scores."""
        if components == self.components:
            return self
        columns = [self.components.index(component) for component in components]
        kept = self.of_candidates(self.is_proposed_by[:, columns].any(axis=1))
        return replace(
            kept,
            components=components,
            scores=kept.scores[:, columns],
            is_proposed_by=kept.is_proposed_by[:, columns],
        )

    def without_evidence(self) -> "MixtureExamples":
        """The same without pair evidence."""
        return replace(self, evidence_names=(), evidence=self.evidence[:, :0])

    def _of_rows(self, rows: Bool[np.ndarray, "candidate"] | Int64[np.ndarray, "some"]) -> "MixtureExamples":
        return replace(
            self,
            scores=self.scores[rows],
            evidence=self.evidence[rows],
            training_counts=self.training_counts[rows],
            is_target=self.is_target[rows],
            is_proposed_by=self.is_proposed_by[rows],
        )


def rows_of(starts: Int64[np.ndarray, "range"], lengths: Int64[np.ndarray, "range"]) -> Int64[np.ndarray, "row"]:
    """All numbers of some ranges, one range after another.

    >>> rows_of(np.array([7, 2]), np.array([3, 2]))
    array([7, 8, 9, 2, 3])
    """
    firsts = np.cumsum(lengths) - lengths
    rows: Int64[np.ndarray, "row"] = np.arange(lengths.sum()) + np.repeat(starts - firsts, lengths)
    return rows


def join_examples(parts: Sequence[MixtureExamples]) -> MixtureExamples:
    """Concatenate the users of all parts, which have the same components."""
    return MixtureExamples(
        parts[0].components,
        parts[0].evidence_names,
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.evidence for part in parts]),
        np.concatenate([part.training_counts for part in parts]),
        np.concatenate([part.is_target for part in parts]),
        np.concatenate([part.is_proposed_by for part in parts]),
        np.concatenate([part.num_candidates for part in parts]),
        np.concatenate([part.history_lengths for part in parts]),
        np.concatenate([part.target_counts for part in parts]),
    )


class MixtureNetwork(nn.Module):
    """`Mixture` as a module to be fitted. It starts as the plain mean of logarithms.

    Their sum would count what components agree on several times, and a few hundred users' steps do not unlearn that.
    """

    def __init__(self, num_components: int, num_evidence: int) -> None:
        super().__init__()
        self.score_weights = nn.Parameter(torch.full((num_components,), 1.0 / num_components))
        num_inputs = num_features(num_components, num_evidence)
        self.layers = nn.ModuleList([nn.Linear(num_inputs, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 1)])
        self.dropout = EightBitDropout(DROPOUT_RATE)
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, logs: Float[Tensor, "candidate component"], features: Float[Tensor, "candidate feature"]
    ) -> Float[Tensor, "candidate"]:
        """Totals from log scores and standardized features."""
        hidden = features
        for layer in self.layers[:-1]:
            hidden = self.dropout(functional.relu(layer(hidden)))
        totals: Float[Tensor, "candidate"] = logs @ self.score_weights + self.layers[-1](hidden)[..., 0]
        return totals


def fit_mixture(examples: MixtureExamples, seed: int = 0) -> Mixture:
    """Fit the weights, or return `plain_mixture` if nobody's next item is known. The same input, the same weights."""
    known = examples.of_candidates(examples.training_counts > 0)
    if not known.has_target.any():
        return plain_mixture(examples)
    floors = floors_of(known)
    known = known.of_users(known.has_target)
    features = features_of(known, floors)
    centers, scales = centers_and_scales(features)
    logs = torch.from_numpy(features[:, : PER_COMPONENT * len(floors) : PER_COMPONENT].copy())
    features -= centers
    features /= scales
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MixtureNetwork(len(examples.components), len(examples.evidence_names))
        network = trained(network, logs, torch.from_numpy(features), known.num_candidates, known.is_target)
    return mixture_of(examples, floors, network, centers, scales)


def plain_mixture(examples: MixtureExamples) -> Mixture:
    """Weigh all components the same, where no next item shows which is better: the network before its first step."""
    num_components, num_evidence = len(examples.components), len(examples.evidence_names)
    num_inputs = num_features(num_components, num_evidence)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MixtureNetwork(num_components, num_evidence)
    centers, scales = np.zeros(num_inputs, dtype=np.float32), np.ones(num_inputs, dtype=np.float32)
    floors = floors_of(examples.of_candidates(examples.training_counts > 0))
    return mixture_of(examples, floors, network, centers, scales)


def floors_of(known: MixtureExamples) -> Float64[np.ndarray, "component"]:
    """Each component's floor, from its mean score over candidates, all of which occur in training."""
    if not len(known.scores):
        return np.full(len(known.components), LEAST_FLOOR)
    mean_scores = np.array([of_one.mean(dtype=np.float64) for of_one in known.scores.T])
    floors: Float64[np.ndarray, "component"] = np.maximum(FLOOR_SHARE * mean_scores, LEAST_FLOOR)
    return floors


def mixture_of(
    examples: MixtureExamples,
    floors: Float64[np.ndarray, "component"],
    network: MixtureNetwork,
    centers: Float32[np.ndarray, "feature"],
    scales: Float32[np.ndarray, "feature"],
) -> Mixture:
    """The network's weights as arrays."""
    layers = tuple(
        (layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy())
        for layer in network.layers
        if isinstance(layer, nn.Linear)
    )
    weights = network.score_weights.detach().numpy().copy()
    return Mixture(examples.components, examples.evidence_names, floors, weights, centers, scales, layers)


def trained(
    network: MixtureNetwork,
    logs: Float[Tensor, "candidate component"],
    features: Float[Tensor, "candidate feature"],
    num_candidates: Int64[np.ndarray, "user"],
    is_target: Bool[np.ndarray, "candidate"],
) -> MixtureNetwork:
    """Run all epochs. Each user has one target."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    num_steps = EPOCHS * -(-len(num_candidates) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=num_steps + 1, pct_start=WARMUP_SHARE, cycle_momentum=False
    )
    starts = np.cumsum(num_candidates) - num_candidates
    targets = torch.from_numpy(np.flatnonzero(is_target) - starts)
    for _ in range(EPOCHS):
        for users in torch.split(torch.randperm(len(targets)), BATCH_SIZE):
            lengths = num_candidates[users.numpy()]
            rows = torch.from_numpy(rows_of(starts[users.numpy()], lengths))
            # Padded to one width after the network: a third of its work would be for padding.
            is_candidate = torch.arange(lengths.max()) < torch.from_numpy(lengths)[:, None]
            totals = torch.full(is_candidate.shape, -torch.inf)
            totals[is_candidate] = network(logs[rows], features[rows])
            loss = functional.cross_entropy(totals, targets[users])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()


def centers_and_scales(
    features: Float32[np.ndarray, "candidate feature"],
) -> tuple[Float32[np.ndarray, "feature"], Float32[np.ndarray, "feature"]]:
    """Mean and standard deviation of each feature."""
    # One feature at a time: all of them in double precision would take gigabytes.
    centers, scales = np.zeros((2, features.shape[-1]), dtype=np.float32)
    for place in range(features.shape[-1]):
        of_one = features[:, place].astype(np.float64)
        centers[place], scales[place] = of_one.mean(), of_one.std()
    return centers, np.maximum(scales, np.float32(1e-6))


def features_of(
    examples: MixtureExamples, floors: Float64[np.ndarray, "component"]
) -> Float32[np.ndarray, "candidate feature"]:
    """The mixture's features of each candidate."""
    shape = (len(examples.scores), num_features(len(floors), len(examples.evidence_names)))
    features, is_known = np.empty(shape, dtype=np.float32), examples.training_counts > 0
    for of_user, history_length in zip(examples.slices(), examples.history_lengths.tolist(), strict=True):
        features[of_user] = candidate_features(
            examples.scores[of_user],
            examples.evidence[of_user],
            examples.training_counts[of_user],
            history_length,
            is_known[of_user],
            floors,
        )
    return features
