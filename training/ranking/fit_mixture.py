"""Fit the weights of the components on validation users, so that their next items rank first. Start at `fit_mixture`.

A softmax over each user's candidates and the cross-entropy of the next item (listwise, Cao et al. 2007). The number of
epochs is fixed: it could only be chosen on the same users. Items that never occur in training are not weighed; see
`calibrate_new_items`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from clairo_core.ranking.candidate_features import PER_COMPONENT, candidate_features, num_features
from clairo_core.ranking.mixture import Mixture

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

    scores: Float64[np.ndarray, "user candidate component"]
    training_counts: Int64[np.ndarray, "user candidate"]
    is_item: Bool[np.ndarray, "user candidate"]
    is_target: Bool[np.ndarray, "user candidate"]
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


def join_examples(parts: Sequence[MixtureExamples]) -> MixtureExamples:
    """Concatenate the users of all parts."""
    width = max(part.is_item.shape[1] for part in parts)

    def wide(array: np.ndarray) -> np.ndarray:
        return np.pad(array, [(0, 0), (0, width - array.shape[1]), *([(0, 0)] * (array.ndim - 2))])

    return MixtureExamples(
        np.concatenate([wide(part.scores) for part in parts]),
        np.concatenate([wide(part.training_counts) for part in parts]),
        np.concatenate([wide(part.is_item) for part in parts]),
        np.concatenate([wide(part.is_target) for part in parts]),
        np.concatenate([part.history_lengths for part in parts]),
        np.concatenate([part.target_counts for part in parts]),
    )


class MixtureNetwork(nn.Module):
    """`Mixture` as a module to be fitted. It starts as the plain sum of logarithms."""

    def __init__(self, num_components: int) -> None:
        super().__init__()
        self.score_weights = nn.Parameter(torch.ones(num_components))
        self.layers = nn.ModuleList(
            [nn.Linear(num_features(num_components), HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 1)]
        )
        self.dropout = nn.Dropout(DROPOUT_RATE)
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


def fit_mixture(components: tuple[str, ...], examples: MixtureExamples, seed: int = 0) -> Mixture:
    """Fit the weights, or return `plain_mixture` if nobody's next item is known. The same input, the same weights."""
    is_known, has_target = examples.is_known, examples.has_target
    if not has_target.any():
        return plain_mixture(components, examples)
    floors = floors_of(examples)
    features = features_of(examples, floors)[has_target]
    is_known = is_known[has_target]
    centers = features[is_known].mean(axis=0)
    scales = np.maximum(features[is_known].std(axis=0), 1e-6)
    logs = torch.from_numpy(features[..., : PER_COMPONENT * len(components) : PER_COMPONENT].copy())
    standardized = torch.from_numpy((features - centers) / scales)
    candidates = torch.from_numpy(is_known)
    targets = torch.from_numpy((examples.is_target[has_target] & is_known).argmax(axis=1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = trained(MixtureNetwork(len(components)), logs, standardized, candidates, targets)
    return mixture_of(components, floors, network, centers, scales)


def plain_mixture(components: tuple[str, ...], examples: MixtureExamples) -> Mixture:
    """Weigh all components the same, where no next item shows which is better: the network before its first step."""
    num_inputs = num_features(len(components))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MixtureNetwork(len(components))
    centers, scales = np.zeros(num_inputs, dtype=np.float32), np.ones(num_inputs, dtype=np.float32)
    return mixture_of(components, floors_of(examples), network, centers, scales)


def floors_of(examples: MixtureExamples) -> Float64[np.ndarray, "component"]:
    """Each component's floor, from its mean score over known candidates."""
    is_known = examples.is_known
    if not is_known.any():
        return np.full(examples.scores.shape[-1], LEAST_FLOOR)
    mean_scores = np.array([of_one[is_known].mean() for of_one in np.moveaxis(examples.scores, -1, 0)])
    floors: Float64[np.ndarray, "component"] = np.maximum(FLOOR_SHARE * mean_scores, LEAST_FLOOR)
    return floors


def mixture_of(
    components: tuple[str, ...],
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
    return Mixture(components, floors, network.score_weights.detach().numpy().copy(), centers, scales, layers)


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


def features_of(
    examples: MixtureExamples, floors: Float64[np.ndarray, "component"]
) -> Float32[np.ndarray, "user candidate feature"]:
    """The mixture's features of each candidate; 0 for padding."""
    shape = (*examples.is_item.shape, num_features(len(floors)))
    features = np.zeros(shape, dtype=np.float32)
    for user, (is_item, is_known) in enumerate(zip(examples.is_item, examples.is_known, strict=True)):
        features[user, is_item] = candidate_features(
            examples.scores[user, is_item],
            examples.training_counts[user, is_item],
            int(examples.history_lengths[user]),
            is_known[is_item],
            floors,
        )
    return features
