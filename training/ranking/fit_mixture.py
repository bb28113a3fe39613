"""Fit the weights of the components on validation users, so that their next items rank first. Start at `fit_mixture`.

A softmax over each user's candidates and the cross-entropy of the next item (listwise, Cao et al. 2007). The number of
epochs is fixed: it could only be chosen on the same users. Items that never occur in training are not weighed; see
`calibrate_new_items`.
"""

from collections.abc import Sequence
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
    """Users with a known next item, and the candidates that compete for their first place. Rows are padded."""

    components: tuple[str, ...]
    evidence_names: tuple[str, ...]
    scores: Float32[np.ndarray, "user candidate component"]
    evidence: Float32[np.ndarray, "user candidate kind"]
    """Pair evidence."""
    training_counts: Int64[np.ndarray, "user candidate"]
    is_item: Bool[np.ndarray, "user candidate"]
    is_target: Bool[np.ndarray, "user candidate"]
    is_proposed_by: Bool[np.ndarray, "user candidate component"]
    """Which components proposed the candidate."""
    history_lengths: Int64[np.ndarray, "user"]
    target_counts: Int64[np.ndarray, "user"]
    """Training count of each user's next item, which need not be among the candidates."""

    @property
    def is_known(self) -> Bool[np.ndarray, "user candidate"]:
        """Candidates that occur in training."""
        return self.is_item & (self.training_counts > 0)

    @property
    def has_target(self) -> Bool[np.ndarray, "user"]:
        """Users whose next item is among their known candidates: the mixture is fitted on these alone."""
        has_target: Bool[np.ndarray, "user"] = (self.is_target & self.is_known).any(axis=1)
        return has_target

    def of_users(self, users: Bool[np.ndarray, "user"] | Int64[np.ndarray, "some"]) -> "MixtureExamples":
        """Some of the users."""
        return replace(
            self,
            scores=self.scores[users],
            evidence=self.evidence[users],
            training_counts=self.training_counts[users],
            is_item=self.is_item[users],
            is_target=self.is_target[users],
            is_proposed_by=self.is_proposed_by[users],
            history_lengths=self.history_lengths[users],
            target_counts=self.target_counts[users],
        )

    def of_components(self, components: tuple[str, ...]) -> "MixtureExamples":
        """What these components proposed, and their scores."""
        columns = [self.components.index(component) for component in components]
        stays = self.is_item & self.is_proposed_by[..., columns].any(axis=-1)
        return replace(
            self,
            components=components,
            scores=self.scores[..., columns],
            is_item=stays,
            is_target=self.is_target & stays,
            is_proposed_by=self.is_proposed_by[..., columns],
        )

    def without_evidence(self) -> "MixtureExamples":
        """The same without pair evidence."""
        return replace(self, evidence_names=(), evidence=self.evidence[..., :0])


def join_examples(parts: Sequence[MixtureExamples]) -> MixtureExamples:
    """Concatenate the users of all parts, which have the same components."""
    num_users, width = sum(len(part.is_item) for part in parts), max(part.is_item.shape[1] for part in parts)

    def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
        # Parts are padded in place: these arrays are the largest of a training.
        whole = np.zeros((num_users, width, *arrays[0].shape[2:]), dtype=arrays[0].dtype)
        begin = 0
        for array in arrays:
            whole[begin : begin + len(array), : array.shape[1]] = array
            begin += len(array)
        return whole

    return MixtureExamples(
        parts[0].components,
        parts[0].evidence_names,
        joined([part.scores for part in parts]),
        joined([part.evidence for part in parts]),
        joined([part.training_counts for part in parts]),
        joined([part.is_item for part in parts]),
        joined([part.is_target for part in parts]),
        joined([part.is_proposed_by for part in parts]),
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
        self, logs: Float[Tensor, "user candidate component"], features: Float[Tensor, "user candidate feature"]
    ) -> Float[Tensor, "user candidate"]:
        """Totals from log scores and standardized features."""
        hidden = features
        for layer in self.layers[:-1]:
            hidden = self.dropout(functional.relu(layer(hidden)))
        totals: Float[Tensor, "user candidate"] = logs @ self.score_weights + self.layers[-1](hidden)[..., 0]
        return totals


def fit_mixture(examples: MixtureExamples, seed: int = 0) -> Mixture:
    """Fit the weights, or return `plain_mixture` if nobody's next item is known. The same input, the same weights."""
    floors = floors_of(examples)
    if not examples.has_target.any():
        return plain_mixture(examples)
    teaching = np.flatnonzero(examples.has_target)
    is_known = examples.is_known[teaching]
    features = features_of(examples, floors, teaching)
    centers, scales = centers_and_scales(features, is_known)
    num_scored = PER_COMPONENT * len(examples.components)
    logs = torch.from_numpy(features[..., :num_scored:PER_COMPONENT].copy())
    features -= centers
    features /= scales
    targets = torch.from_numpy((examples.is_target[teaching] & is_known).argmax(axis=1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MixtureNetwork(len(examples.components), len(examples.evidence_names))
        network = trained(network, logs, torch.from_numpy(features), torch.from_numpy(is_known), targets)
    return mixture_of(examples, floors, network, centers, scales)


def plain_mixture(examples: MixtureExamples) -> Mixture:
    """Weigh all components the same, where no next item shows which is better: the network before its first step."""
    num_components, num_evidence = len(examples.components), len(examples.evidence_names)
    num_inputs = num_features(num_components, num_evidence)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MixtureNetwork(num_components, num_evidence)
    centers, scales = np.zeros(num_inputs, dtype=np.float32), np.ones(num_inputs, dtype=np.float32)
    return mixture_of(examples, floors_of(examples), network, centers, scales)


def floors_of(examples: MixtureExamples) -> Float64[np.ndarray, "component"]:
    """Each component's floor, from its mean score over known candidates."""
    is_known = examples.is_known
    if not is_known.any():
        return np.full(examples.scores.shape[-1], LEAST_FLOOR)
    mean_scores = np.array([of_one[is_known].mean(dtype=np.float64) for of_one in np.moveaxis(examples.scores, -1, 0)])
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
    logs: Float[Tensor, "user candidate component"],
    features: Float[Tensor, "user candidate feature"],
    is_candidate: Bool[Tensor, "user candidate"],
    targets: Int64[Tensor, "user"],
) -> MixtureNetwork:
    """Run all epochs."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    num_steps = EPOCHS * -(-len(targets) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=num_steps + 1, pct_start=WARMUP_SHARE, cycle_momentum=False
    )
    for _ in range(EPOCHS):
        for users in torch.split(torch.randperm(len(targets)), BATCH_SIZE):
            totals = network(logs[users], features[users]).masked_fill(~is_candidate[users], -torch.inf)
            loss = functional.cross_entropy(totals, targets[users])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()


def centers_and_scales(
    features: Float32[np.ndarray, "user candidate feature"], is_known: Bool[np.ndarray, "user candidate"]
) -> tuple[Float32[np.ndarray, "feature"], Float32[np.ndarray, "feature"]]:
    """Mean and standard deviation of each feature over known candidates."""
    # One feature at a time: all of them, known candidates alone, would be a second copy of gigabytes.
    centers, scales = np.zeros((2, features.shape[-1]), dtype=np.float32)
    for place in range(features.shape[-1]):
        of_known = features[..., place][is_known].astype(np.float64)
        centers[place], scales[place] = of_known.mean(), of_known.std()
    return centers, np.maximum(scales, np.float32(1e-6))


def features_of(
    examples: MixtureExamples,
    floors: Float64[np.ndarray, "component"],
    users: Int64[np.ndarray, "user"] | slice = slice(None),
) -> Float32[np.ndarray, "user candidate feature"]:
    """The mixture's features of each candidate of the users, by default of all; 0 for padding."""
    is_item, is_known = examples.is_item[users], examples.is_known[users]
    features = np.zeros((*is_item.shape, num_features(len(floors), examples.evidence.shape[-1])), dtype=np.float32)
    for place, user in enumerate(np.arange(len(examples.is_item))[users].tolist()):
        of_user = is_item[place]
        features[place, of_user] = candidate_features(
            examples.scores[user, of_user],
            examples.evidence[user, of_user],
            examples.training_counts[user, of_user],
            int(examples.history_lengths[user]),
            is_known[place, of_user],
            floors,
        )
    return features
