"""Principal components as a projection matrix that scales its outputs to unit energy."""

import numpy as np
from jaxtyping import Float32, Float64

# A component whose spread is below this share of the largest is rounding error.
_LEAST_SPREAD = 1e-5


def principal_projection(
    centred: Float64[np.ndarray, "item embedding"], dim: int, seed: int, *, whiten: bool = False
) -> Float32[np.ndarray, "embedding component"]:
    """The first `dim` principal components as columns, scaled so that an item's squared length is 1 on average.

    With fewer directions than `dim`, the rest are zeros. With `whiten`, all components have equal variance.
    """
    from sklearn.decomposition import PCA  # noqa: PLC0415 - slow to import, and serving does not need it

    num_items, length = centred.shape
    projection = np.zeros((length, dim), np.float32)
    rank = min(dim, num_items - 1, length)
    # Identical items differ from their mean by rounding.
    if rank < 1 or np.abs(centred).max() < 1e-6:
        return projection
    pca = PCA(rank, random_state=seed).fit(centred)
    spreads = pca.singular_values_
    is_kept = spreads > _LEAST_SPREAD * spreads[0]
    components = pca.components_[is_kept].T
    # A component's sign is arbitrary: a positive largest entry makes it the same on every machine.
    largest = np.abs(components).argmax(axis=0)
    components *= np.sign(components[largest, np.arange(components.shape[1])])
    if whiten:
        components = components / spreads[is_kept]
    energy = np.square(centred @ components).sum(axis=1).mean()
    projection[:, : components.shape[1]] = components / np.sqrt(energy)
    return projection
