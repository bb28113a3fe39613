"""Fit an autoencoder whose latent vectors are quantized level by level: RQ-VAE, and with one level VQ-VAE.

Start at `fit_autoencoder`.

Sources: van den Oord et al. 2017, "Neural Discrete Representation Learning" (losses, straight-through gradient, moving
averages); Zeghidour et al. 2021, "SoundStream" (k-means start, revival of dead codes); Rajput et al. 2023, "TIGER"
(sizes); Wang et al. 2024, "LETTER" (the two regularizers). We differ: Adam and a number of steps that two cores take
in seconds, where TIGER takes 20,000 epochs; inputs of unit variance; revival looks at the last `_STEPS_TO_DIE` steps.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int
from torch import Tensor, nn

from clairo_core.errors import TrainingError
from clairo_core.progress import Progress
from clairo_core.quantizers import AutoencodedQuantizer, ResidualQuantizer
from clairo_core.quantizers.autoencoded import Layers
from training.config.preset import AutoencoderSettings
from training.items.balanced_clusters import balanced_codes, clusters
from training.items.code_regularizers import collaborative_loss, diversity_loss
from training.items.fit_residual import fit_residual_kmeans

_STEPS_TO_DIE = 50
"""A code that no batch used for so long is revived. Groups of the diversity loss are drawn as often."""
_SETTLED_SHARE = 0.2
"""No code is revived in this last share of the steps."""
_NUM_CODE_GROUPS = 10
"""As in LETTER."""
_LEAST_USE = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A batch of latent vectors, level by level."""

    codes: Int[Tensor, "row level"]
    total: Float[Tensor, "row latent"]
    """The sum of the centroids."""
    residuals: tuple[Float[Tensor, "row latent"], ...]
    """What each level quantized."""
    loss: Float[Tensor, ""]


class Codebooks(nn.Module):
    """Centroids of every level, by gradient or as moving averages of the vectors that use them."""

    use: Float[Tensor, "level centroid"]
    """Moving averages of the number of a batch's vectors that use each code."""
    sums: Float[Tensor, "level centroid latent"]
    """Moving averages of the sums of these vectors."""
    recent_use: Float[Tensor, "level centroid"]
    """Vectors since the last revival."""

    def __init__(self, start: Float[Tensor, "level centroid latent"], settings: AutoencoderSettings) -> None:
        super().__init__()
        self.commitment, self.ema_decay = settings.commitment, settings.ema_decay
        self.centroids = nn.Parameter(start.clone(), requires_grad=not settings.ema_decay)
        self.register_buffer("use", torch.ones(start.shape[:2]))
        self.register_buffer("sums", start.clone())
        self.register_buffer("recent_use", torch.zeros(start.shape[:2]))

    def forward(self, latent: Float[Tensor, "row latent"]) -> Quantized:
        """Quantize; the loss pulls centroids to vectors, and vectors to centroids by `commitment`."""
        residual, total, loss = latent, torch.zeros_like(latent), latent.new_zeros(())
        codes, residuals = [], []
        for centroids in self.centroids:
            nearest = torch.cdist(residual.detach(), centroids.detach()).argmin(dim=1)
            chosen = centroids[nearest]
            loss = loss + self.commitment * nn.functional.mse_loss(residual, chosen.detach())
            if not self.ema_decay:
                loss = loss + nn.functional.mse_loss(chosen, residual.detach())
            codes.append(nearest)
            residuals.append(residual.detach())
            total = total + chosen
            residual = residual - chosen.detach()
        return Quantized(torch.stack(codes, dim=1), total, tuple(residuals), loss)

    @torch.no_grad()
    def count(self, quantized: Quantized) -> None:
        """Count which codes were used; with `ema_decay`, move centroids to the mean of their vectors."""
        for level, residual in enumerate(quantized.residuals):
            hits = nn.functional.one_hot(quantized.codes[:, level], self.use.shape[1]).to(residual)
            self.recent_use[level] += hits.sum(dim=0)
            if self.ema_decay:
                self.use[level].lerp_(hits.sum(dim=0), 1 - self.ema_decay)
                self.sums[level].lerp_(hits.T @ residual, 1 - self.ema_decay)
                is_used = self.use[level] > _LEAST_USE
                means = self.sums[level] / self.use[level].clamp(min=_LEAST_USE)[:, None]
                self.centroids[level] = torch.where(is_used[:, None], means, self.centroids[level])

    @torch.no_grad()
    def revive(self, quantized: Quantized, random: torch.Generator) -> int:
        """Move codes that were not used since the last call to vectors of this batch. Returns how many there were."""
        num_revived = 0
        for level, residual in enumerate(quantized.residuals):
            dead = torch.nonzero(self.recent_use[level] == 0)[:, 0]
            drawn = torch.randperm(len(residual), generator=random)[: len(dead)].to(residual.device)
            revived = dead[: len(drawn)]
            self.centroids[level, revived] = residual[drawn]
            self.sums[level, revived], self.use[level, revived] = residual[drawn], 1.0
            num_revived += len(revived)
        self.recent_use.zero_()
        return num_revived


def fit_autoencoder(
    item_embeddings: Float32[np.ndarray, "item dim"],
    num_codebooks: int,
    num_centroids: int,
    settings: AutoencoderSettings,
    behaviour: Float64[np.ndarray, "item latent"] | None,
    *,
    seed: int,
    device: torch.device,
    progress: Progress[int],
) -> AutoencodedQuantizer:
    """Fit encoder, codebooks and decoder on training items.

    Args:
        item_embeddings: of training items.
        num_codebooks: levels.
        num_centroids: of each level.
        settings: sizes and losses.
        behaviour: vectors of the same items for `settings.collaborative_weight`; zeros for items without.
        seed: of start, order and revival.
        device: to train on.
        progress: over the steps.

    Raises:
        TrainingError: the loss diverges.
    """
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    mean, spread = item_embeddings.mean(axis=0), float(item_embeddings.std()) or 1.0
    inputs = torch.from_numpy(((item_embeddings - mean) / spread).astype(np.float32)).to(device)
    widths = [inputs.shape[1], *(max(1, settings.width >> layer) for layer in range(settings.num_layers))]
    encoder = _perceptron([*widths, settings.latent_dim]).to(device)
    decoder = _perceptron([settings.latent_dim, *reversed(widths)]).to(device)
    start = _start(encoder, inputs, num_codebooks, num_centroids, settings, seed)
    codebooks = Codebooks(start, settings).to(device)
    teachers = None if behaviour is None else torch.from_numpy(behaviour.astype(np.float32)).to(device)
    parameters = [*encoder.parameters(), *decoder.parameters(), codebooks.centroids]
    optimizer = torch.optim.Adam(
        [parameter for parameter in parameters if parameter.requires_grad], settings.learning_rate
    )
    groups: list[Int[Tensor, "centroid"]] = []
    batch_size = min(settings.batch_size, len(inputs))
    order = torch.empty(0, dtype=torch.int64)
    for step in progress(range(settings.num_steps), "quantizer", settings.num_steps):
        if len(order) < batch_size:
            order = torch.randperm(len(inputs), generator=random)
        rows, order = order[:batch_size].to(device), order[batch_size:]
        if settings.diversity_weight and step % _STEPS_TO_DIE == 0:
            groups = _code_groups(codebooks, seed + step)
        latent = encoder(inputs[rows])
        quantized = codebooks(latent)
        # Straight through: the decoder's gradient reaches the encoder as if nothing had been quantized.
        carried = latent + (quantized.total - latent).detach()
        decoded = decoder(carried)
        loss = nn.functional.mse_loss(decoded, inputs[rows]) + quantized.loss
        if teachers is not None:
            loss = loss + settings.collaborative_weight * collaborative_loss(carried, teachers[rows])
        if settings.diversity_weight:
            levels = zip(codebooks.centroids, quantized.codes.T, groups, strict=True)
            loss = loss + settings.diversity_weight * sum(diversity_loss(*level, random) for level in levels)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the quantizer's loss is {float(loss.detach())} after {step} steps; lower autoencoder.learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        codebooks.count(quantized)
        is_settled = step >= (1 - _SETTLED_SHARE) * settings.num_steps
        if settings.prevent_collapse and not is_settled and (step + 1) % _STEPS_TO_DIE == 0:
            codebooks.revive(quantized, random)
    return _frozen(encoder, codebooks, decoder, mean, spread)


def _perceptron(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for num_inputs, num_outputs in pairwise(widths):
        layers += [nn.Linear(num_inputs, num_outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _start(
    encoder: nn.Module,
    inputs: Float[Tensor, "item dim"],
    num_codebooks: int,
    num_centroids: int,
    settings: AutoencoderSettings,
    seed: int,
) -> Float[Tensor, "level centroid latent"]:
    """Clusters of the untrained latent vectors, or at random as in the first VQ-VAE."""
    if not settings.prevent_collapse:
        drawn = torch.rand(num_codebooks, num_centroids, settings.latent_dim)
        return (2 * drawn - 1) / num_centroids
    with torch.no_grad():
        latent = encoder(inputs).cpu().numpy()
    return torch.from_numpy(
        fit_residual_kmeans(latent, num_codebooks, num_centroids, seed, is_balanced=False).codebooks
    )


def _code_groups(codebooks: Codebooks, seed: int) -> list[Int[Tensor, "centroid"]]:
    """Each level's codes in groups of equal size: LETTER's constrained clusters."""
    groups = []
    for centroids in codebooks.centroids.detach():
        vectors = centroids.cpu().numpy()
        middles = clusters(vectors, min(_NUM_CODE_GROUPS, len(vectors)), seed, is_balanced=True)
        distances = np.square(vectors[:, None] - middles).sum(axis=2)
        groups.append(torch.from_numpy(balanced_codes(distances).astype(np.int64)).to(centroids.device))
    return groups


def _frozen(
    encoder: nn.Sequential,
    codebooks: Codebooks,
    decoder: nn.Sequential,
    mean: Float32[np.ndarray, "dim"],
    spread: float,
) -> AutoencodedQuantizer:
    """Plain arrays; the first and last map take over the scaling of the inputs."""
    weights, biases = _arrays(encoder)
    biases[0] = biases[0] - weights[0] @ mean / spread
    weights[0] = weights[0] / spread
    outputs, offsets = _arrays(decoder)
    outputs[-1], offsets[-1] = outputs[-1] * spread, offsets[-1] * spread + mean
    return AutoencodedQuantizer(
        Layers(tuple(weights), tuple(biases)),
        ResidualQuantizer(codebooks.centroids.detach().cpu().numpy().copy()),
        Layers(tuple(outputs), tuple(offsets)),
    )


def _arrays(network: nn.Sequential) -> tuple[list[Float32[np.ndarray, "output input"]], list[np.ndarray]]:
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    return (
        [layer.weight.detach().cpu().numpy().copy() for layer in layers],
        [layer.bias.detach().cpu().numpy().copy() for layer in layers],
    )
