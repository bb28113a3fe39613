"""Learn gates or attention over modalities from successive items in training histories.

Start at `fit_gate` and `fit_attention`. Both begin as plain concatenation and stay there unless learning helps.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor, nn

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.fusion import AttentionFusion, ConcatPcaFusion, GatedFusion
from clairo_core.sequences import ItemSequences
from training.items.contrast import fit_contrast

KEY_DIM = 32
_DROPPED = 0.1
"""Share of modalities that are dropped in training, so that the fusion copes with missing ones."""


class _Gate(nn.Module):
    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.parts = nn.Linear(num_modalities * width, num_modalities)
        self.presence = nn.Linear(num_modalities, num_modalities, bias=False)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, parts: Float[Tensor, "item modality component"], is_present: Tensor) -> Tensor:
        gates = 2 * torch.sigmoid(self.parts(parts.flatten(1)) + self.presence(is_present))
        return (gates[:, :, None] * parts).flatten(1)


class _Attention(nn.Module):
    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.randn(num_modalities, width, KEY_DIM) * 0.5)
        self.key_bias = nn.Parameter(torch.zeros(num_modalities, KEY_DIM))
        self.query = nn.Parameter(torch.zeros(KEY_DIM))
        # Starts as concatenation: each part in dimensions of its own.
        self.values = nn.Parameter(torch.eye(num_modalities * width).reshape(num_modalities, width, -1))

    def attention(self, parts: Float[Tensor, "item modality component"], is_present: Tensor) -> Tensor:
        scores = torch.tanh(torch.einsum("imc,mck->imk", parts, self.keys) + self.key_bias) @ self.query
        return torch.softmax(scores.masked_fill(is_present == 0, -1e9), dim=1)

    def forward(self, parts: Float[Tensor, "item modality component"], is_present: Tensor) -> Tensor:
        shares = self.attention(parts, is_present) * parts.shape[1]
        return torch.einsum("im,imc,mcd->id", shares, parts, self.values)


def fit_gate(
    content: ConcatPcaFusion, embeddings: Mapping[str, ModalityEmbeddings], training: ItemSequences, seed: int
) -> tuple[GatedFusion, float]:
    """Fit gates that bring neighbours in histories closer. Also returns the relative fall of the held-out loss.

    `embeddings` are of all items, by the rows of `training`.
    """
    parts, is_present = _parts(content, embeddings)
    network = _Gate(parts.shape[1], parts.shape[2])
    gain = _fit(network, parts, is_present, training, seed)
    weights, presence, bias = (
        tensor.detach().numpy().astype(np.float32)
        for tensor in (network.parts.weight.T, network.presence.weight.T, network.parts.bias)
    )
    fusion = GatedFusion(content, weights, presence, bias, np.ones(parts.shape[1], np.float32))
    used = np.unique(training.items)
    gates = fusion.gates(parts[used].reshape(len(used), -1), is_present[used])
    return GatedFusion(content, weights, presence, bias, np.square(gates).mean(axis=0).astype(np.float32)), gain


def fit_attention(
    content: ConcatPcaFusion, embeddings: Mapping[str, ModalityEmbeddings], training: ItemSequences, seed: int
) -> tuple[AttentionFusion, float]:
    """Fit attention that brings neighbours in histories closer. Also returns the relative fall of the held-out loss.

    `embeddings` are of all items, by the rows of `training`.
    """
    parts, is_present = _parts(content, embeddings)
    torch.manual_seed(seed)
    network = _Attention(parts.shape[1], parts.shape[2])
    gain = _fit(network, parts, is_present, training, seed)
    learned = {name: tensor.detach().numpy().astype(np.float32) for name, tensor in network.state_dict().items()}
    fusion = AttentionFusion(content, **learned, spread=np.ones(parts.shape[1:], np.float32))
    used = np.unique(training.items)
    shares = fusion.attention(parts[used], is_present[used]) * parts.shape[1]
    spread = parts[used].std(axis=0) * shares.mean(axis=0)[:, None]
    return AttentionFusion(content, **learned, spread=spread.astype(np.float32)), gain


def _parts(
    content: ConcatPcaFusion, embeddings: Mapping[str, ModalityEmbeddings]
) -> tuple[Float32[np.ndarray, "item modality component"], Bool[np.ndarray, "item modality"]]:
    fused = content.fuse(embeddings)
    return fused.item_embeddings.reshape(len(fused.item_embeddings), len(content.modalities), -1), fused.is_present


def _fit(
    network: nn.Module,
    parts: Float32[np.ndarray, "item modality component"],
    is_present: Bool[np.ndarray, "item modality"],
    training: ItemSequences,
    seed: int,
) -> float:
    all_parts, all_present = torch.from_numpy(parts), torch.from_numpy(is_present.astype(np.float32))
    random = torch.Generator().manual_seed(seed)

    def embedded(rows: Int[Tensor, "pair"]) -> Tensor:
        given, present = all_parts[rows], all_present[rows]
        if network.training:
            present = present * (torch.rand(present.shape, generator=random) >= _DROPPED)
            given = given * present[:, :, None]
        result: Tensor = network(given, present)
        return result

    pairs, weights = neighbouring_items(training)
    return fit_contrast(
        network,
        lambda left, right: (embedded(left), embedded(right)),
        torch.from_numpy(pairs),
        None if weights is None else torch.from_numpy(weights),
        seed=seed,
    )


def neighbouring_items(
    training: ItemSequences,
) -> tuple[Int[np.ndarray, "pair 2"], Float32[np.ndarray, "pair"] | None]:
    """Pairs of different items that follow one another directly, one per pair of places.

    Also returns the product of both events' weights; None where all weigh 1.
    """
    items, offsets, weights = np.asarray(training.items, np.int64), np.asarray(training.offsets), training.weights
    sequence_of = np.repeat(np.arange(len(training)), np.diff(offsets))
    follows = (sequence_of[1:] == sequence_of[:-1]) & (items[1:] != items[:-1])
    pairs = np.stack([items[:-1][follows], items[1:][follows]], axis=1)
    return pairs, None if weights is None else (weights[:-1] * weights[1:])[follows]
