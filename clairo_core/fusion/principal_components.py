"""The directions in which vectors spread most, as a matrix that scales what it projects to unit energy."""

import numpy as np
from jaxtyping import Float32, Float64

# Below this share of the largest one, a principal component's spread is rounding.
_LEAST_SPREAD = 1e-5


def principal_projection(
    centred: Float64[np.ndarray, "item embedding"], dim: int, seed: int, *, whiten: bool = False
) -> Float32[np.ndarray, "embedding component"]:
    """The first `dim` principal components as columns, scaled so that an item's squared length is 1 on average.

    Where there are fewer directions than `dim`, the rest are zeros. With `whiten` all components vary equally much.
    """
    from sklearn.decomposition import PCA  # noqa: PLC0415 - slow to import, and whoever serves does not need it

    num_items, length = centred.shape
    projection = np.zeros((length, dim), np.float32)
    rank = min(dim, num_items - 1, length)
    # Identical items differ by the rounding of their mean.
    if rank < 1 or np.abs(centred).max() < 1e-6:
        return projection
    pca = PCA(rank, random_state=seed).fit(centred)
    spreads = pca.singular_values_
    is_kept = spreads > _LEAST_SPREAD * spreads[0]
    components = pca.components_[is_kept].T
    # A component's sign is arbitrary: with its largest entry positive it is the same wherever it is fitted.
    largest = np.abs(components).argmax(axis=0)
    components *= np.sign(components[largest, np.arange(components.shape[1])])
    if whiten:
        components = components / spreads[is_kept]
    energy = np.square(centred @ components).sum(axis=1).mean()
    projection[:, : components.shape[1]] = components / np.sqrt(energy)
    return projection
