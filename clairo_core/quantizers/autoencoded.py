"""Turn item embeddings into semantic ids by residual quantization of an autoencoder's latent vectors: RQ-VAE.

With one codebook it is a VQ-VAE. Plain numpy: serving needs none of the training code. Start at
`AutoencodedQuantizer.encode`.

Source: Rajput et al. 2023, "Recommender Systems with Generative Retrieval" (TIGER), section 3.1; Lee et al. 2022,
"Autoregressive Image Generation using Residual Quantization".
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Int32

from clairo_core.errors import QuantizerError
from clairo_core.quantizers.quantizer import CodeDistances, check_item_embeddings
from clairo_core.quantizers.residual import ResidualQuantizer
from clairo_core.storage.array_folder import ArrayFolder, load_array_folder, save_array_folder

KIND = "autoencoded"


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """Linear maps with a ReLU between every two."""

    weights: tuple[Float32[np.ndarray, "output input"], ...]
    biases: tuple[Float32[np.ndarray, "output"], ...]

    def __call__(self, vectors: Float[np.ndarray, "row input"]) -> Float64[np.ndarray, "row output"]:
        """Apply all maps in double precision."""
        outputs = vectors.astype(np.float64)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if number:
                outputs = np.maximum(outputs, 0)
            outputs = outputs @ weight.T.astype(np.float64) + bias
        return np.asarray(outputs)


@dataclass(frozen=True, slots=True, eq=False)
class AutoencodedQuantizer:
    """An encoder, codebooks of its latent vectors, and a decoder."""

    encoder: Layers
    latent: ResidualQuantizer
    decoder: Layers

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return int(self.encoder.weights[0].shape[1])

    @property
    def num_codebooks(self) -> int:
        """Number of levels."""
        return self.latent.num_codebooks

    @property
    def num_centroids(self) -> int:
        """Number of centroids of each level."""
        return self.latent.num_centroids

    def encode(self, item_embeddings: Float[np.ndarray, "item dim"]) -> Int32[np.ndarray, "item codebook"]:
        """Quantize the latent vectors; ties take the lower index."""
        return self.latent.encode(self._latent_vectors(item_embeddings))

    def decode(self, semantic_ids: Int[np.ndarray, "item codebook"]) -> Float32[np.ndarray, "item dim"]:
        """Reconstruct embeddings from codes: the decoder of the sum of the centroids."""
        return self.decoder(self.latent.decode(semantic_ids)).astype(np.float32)

    def code_vectors(self) -> Float32[np.ndarray, "codebook centroid dim"]:
        """How the decoded embedding moves from the mean of a level's codes to one of them, others at their mean."""
        means = self.latent.codebooks.mean(axis=1, keepdims=True)
        moved = means.sum(axis=0) + self.latent.codebooks - means
        decoded = self.decoder(moved.reshape(-1, self.latent.dim)) - self.decoder(means.sum(axis=0))
        return np.asarray(decoded.reshape(self.num_codebooks, self.num_centroids, self.dim), np.float32)

    def start_vectors(self) -> Float32[np.ndarray, "codebook centroid latent"]:
        """The centroids in the latent space."""
        return self.latent.codebooks

    def code_distances(self, item_embedding: Float[np.ndarray, "dim"]) -> CodeDistances:
        """Distances in the latent space."""
        return self.latent.code_distances(self._latent_vectors(item_embedding[None])[0])

    def save(self, folder: Path) -> None:
        """Write quantizer.json and the arrays into `folder`."""
        arrays = {"codebooks": self.latent.codebooks}
        for name, layers in (("encoder", self.encoder), ("decoder", self.decoder)):
            for number, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
                arrays |= {f"{name}_{number}_weight": weight, f"{name}_{number}_bias": bias}
        save_array_folder(folder, "quantizer", KIND, arrays)

    def _latent_vectors(self, item_embeddings: Float[np.ndarray, "item dim"]) -> Float32[np.ndarray, "item latent"]:
        check_item_embeddings(item_embeddings, self.dim)
        # Rounded, they are the same in a batch of one and of many.
        return self.encoder(item_embeddings).astype(np.float32)


def load_autoencoded(folder: Path) -> AutoencodedQuantizer:
    """Load a saved quantizer.

    Raises:
        QuantizerError: the folder is damaged or holds something else.
    """
    saved = load_array_folder(folder, "quantizer", KIND, QuantizerError)
    codebooks = saved.array("codebooks", np.float32, (None, None, None))
    latent_dim = codebooks.shape[2]
    encoder, decoder = _layers(saved, "encoder", None), _layers(saved, "decoder", latent_dim)
    dim = encoder.weights[0].shape[1]
    if len(encoder.biases[-1]) != latent_dim or len(decoder.biases[-1]) != dim:
        raise QuantizerError(
            f"{folder}: the encoder gives {len(encoder.biases[-1])} numbers, the decoder {len(decoder.biases[-1])}; "
            f"expected {latent_dim} and {dim}; copy the folder again"
        )
    return AutoencodedQuantizer(encoder, ResidualQuantizer(codebooks), decoder)


def _layers(saved: ArrayFolder, name: str, num_inputs: int | None) -> Layers:
    weights: list[np.ndarray] = []
    biases: list[np.ndarray] = []
    while not weights or f"{name}_{len(weights)}_weight" in saved.arrays:
        weights.append(saved.array(f"{name}_{len(weights)}_weight", np.float32, (None, num_inputs)))
        num_inputs = len(weights[-1])
        biases.append(saved.array(f"{name}_{len(biases)}_bias", np.float32, (num_inputs,)))
    return Layers(tuple(weights), tuple(biases))
