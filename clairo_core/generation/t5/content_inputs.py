"""What a T5's encoder reads of an item beside its codes: a learned linear map of its embedding, at each of its tokens.

Source: Yang et al. 2024, "Unifying Generative and Dense Retrieval for Sequential Recommendation" (LIGER). We
differ: the sum is not normed, as T5 norms the input of every layer, and it has no embeddings of positions, as T5's
attention knows distances and each code's token its codebook.
"""

import numpy as np
from jaxtyping import Float, Float32, Int
from torch import Tensor
from torch.nn import functional


def padded_content(
    item_embeddings: Float[np.ndarray, "item dim"],
    items: Int[np.ndarray, "position"],
    lengths: Int[np.ndarray, "history"],
) -> Float32[np.ndarray, "history place dim"]:
    """The embeddings of the items of each history, filled with zeros.

    Args:
        item_embeddings: by item row.
        items: item rows, one history after another.
        lengths: of the histories.
    """
    content = np.zeros((len(lengths), int(lengths.max(initial=0)), item_embeddings.shape[1]), dtype=np.float32)
    content[np.arange(content.shape[1]) < lengths[:, None]] = item_embeddings[items]
    return content


def content_inputs(
    content: Float[Tensor, "view place dim"], projection: Float[Tensor, "d_model dim"], length: int
) -> Float[Tensor, "view length d_model"]:
    """What is added to the embeddings of views of `length` tokens: equally many per item, then the end token.

    Zeros at the end token and at padding: the map has no bias.
    """
    projected = functional.linear(content, projection)
    of_tokens = projected.repeat_interleave((length - 1) // content.shape[1], dim=1)
    added: Float[Tensor, "view length d_model"] = functional.pad(of_tokens, (0, 0, 0, 1))
    return added
