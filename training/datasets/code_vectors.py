"""Turn precomputed codes into vectors, to fuse, align and quantize the items again. Start at `with_codes_as_vectors`.

Codes of content alone ignore that two items are used alike. As one-hot vectors, they are a modality like any other.
"""

import hashlib
import re
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Int

from clairo_core.errors import DatasetError
from training.datasets.dataset import Dataset

SUFFIX = "_codes"
_NUMBER = re.compile(r"_?\d+$")


def with_codes_as_vectors(dataset: Dataset) -> Dataset:
    """Replace the items' codes by one vector per family of code columns.

    The columns text_0, text_1, image_0 give the modalities `text_codes` and `image_codes`.

    Raises:
        DatasetError: the dataset has no codes.
    """
    if dataset.semantic_ids is None:
        raise DatasetError(f"{dataset.name} has no precomputed codes; leave dataset.codes at ids")
    families: dict[str, list[int]] = {}
    for column, name in enumerate(dataset.codebook_names):
        families.setdefault(_NUMBER.sub("", name) + SUFFIX, []).append(column)
    vectors = {
        modality: one_hot_codes(dataset.semantic_ids[:, columns], [dataset.codebook_sizes[at] for at in columns])
        for modality, columns in families.items()
    }
    return replace(
        dataset,
        items=tuple(
            replace(item, vectors={**item.vectors, **{modality: rows[row] for modality, rows in vectors.items()}})
            for row, item in enumerate(dataset.items)
        ),
        semantic_ids=None,
        codebook_names=(),
        codebook_sizes=(),
        codes_are_unique=False,
        fingerprint=hashlib.sha256(f"codes as vectors of {dataset.fingerprint}".encode()).hexdigest(),
    )


def one_hot_codes(codes: Int[np.ndarray, "item column"], sizes: list[int]) -> Float32[np.ndarray, "item code"]:
    """Concatenate a one-hot vector per column.

    >>> one_hot_codes(np.array([[1, 0]]), [2, 3]).tolist()
    [[0.0, 1.0, 1.0, 0.0, 0.0]]
    """
    starts = np.concatenate([[0], np.cumsum(sizes)])
    vectors = np.zeros((len(codes), starts[-1]), dtype=np.float32)
    np.put_along_axis(vectors, codes + starts[:-1], 1.0, axis=1)
    return vectors
