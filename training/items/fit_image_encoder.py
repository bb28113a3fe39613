"""Train a small image encoder on a catalogue's own pictures: each has to find its item's words among others'.

Start at `fit_image_encoder`.

Source: Radford et al. 2021, CLIP's symmetric InfoNCE. We differ: the text side is an existing text embedding and a
learned matrix, the network is small, and the epoch is kept in which held-out pictures find their words best.
"""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.encoders.item_content import picture_of
from clairo_core.encoders.learned_image import PREPARATION, SIDE_PIXELS, LearnedImageEncoder, PictureNetwork
from clairo_core.errors import TrainingError
from clairo_core.items import Item
from clairo_core.progress import Progress
from training.config.preset import EncodeSettings
from training.workbench.checkpoints import FitProgress
from training.workbench.fit_epochs import FitLimits, epoch_seed, fit_epochs

STORED_SIDE = 72
"""Pictures are kept at this size and cut to 64 pixels at a new place in each epoch."""
MAX_PICTURES = 40_000
BATCH_SIZE = 128
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.05
HELD_OUT_SHARE, MAX_HELD_OUT = 0.1, 500
MIN_PICTURES = 32
_FIT, _WEIGHTS = "fit", "weights.safetensors"

_Batch = tuple[Float[Tensor, "pair 3 64 64"], Float[Tensor, "pair text"]]
"""Augmented pictures, and the text embeddings of the same items."""


class _Matching(nn.Module):
    """Both sides and the temperature of the softmax."""

    def __init__(self, text_dim: int, dim: int) -> None:
        super().__init__()
        self.pictures = PictureNetwork(dim)
        self.words = nn.Linear(text_dim, dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def similarities(self, pictures: Tensor, words: Tensor) -> Float[Tensor, "picture text"]:
        """Scaled cosines of every picture with every text."""
        texts = nn.functional.normalize(self.words(words), dim=-1)
        similarities: Tensor = self.log_scale.clamp(max=math.log(100.0)).exp() * self.pictures(pictures) @ texts.T
        return similarities

    def loss(self, batch: _Batch) -> Float[Tensor, ""]:
        """Mean cross-entropy of finding each text by its picture, and each picture by its text."""
        device = self.log_scale.device
        views, texts = (part.to(device) for part in batch)
        similarities = self.similarities(views, nn.functional.dropout(texts, 0.2))
        own = torch.arange(len(views), device=device)
        by_picture = nn.functional.cross_entropy(similarities, own, label_smoothing=0.1)
        return (by_picture + nn.functional.cross_entropy(similarities.T, own, label_smoothing=0.1)) / 2


def fit_image_encoder(
    folder: Path,
    items: Sequence[Item],
    words: ModalityEmbeddings,
    settings: EncodeSettings,
    device: torch.device,
    seed: int,
    *,
    progress: Progress,
    report: Callable[[str], None],
) -> LearnedImageEncoder:
    """Train on the items that have a picture and words. Interrupted runs resume from `folder`.

    Every epoch draws its order and augmentation from (seed, epoch).

    Raises:
        TrainingError: fewer than 32 items have both, or the loss diverges.
    """
    pictures, texts = _pairs(items, words, seed, progress)
    if len(pictures) < MIN_PICTURES:
        raise TrainingError(
            f"{len(pictures)} training items have both a picture and words, expected at least {MIN_PICTURES} to learn "
            "an image encoder from; use --set encode.image_encoder=builtin"
        )
    num_held_out = min(MAX_HELD_OUT, round(HELD_OUT_SHARE * len(pictures)))
    held_out, learned_pictures, learned_texts = slice(0, num_held_out), pictures[num_held_out:], texts[num_held_out:]
    torch.manual_seed(seed)
    model = _Matching(texts.shape[1], settings.learned_dim).to(device)

    def batches(epoch: int) -> tuple[Iterator[_Batch], int]:
        random = torch.Generator().manual_seed(epoch_seed(seed, epoch))
        order = torch.randperm(len(learned_pictures), generator=random)
        # A picture alone has no other to be distinguished from.
        rows = [batch for batch in order.split(BATCH_SIZE) if len(batch) > 1]  # type: ignore[no-untyped-call]
        return ((augmented(learned_pictures[batch], random), learned_texts[batch]) for batch in rows), len(rows)

    def save(epoch: Path) -> None:
        epoch.mkdir(exist_ok=True)
        save_file(model.pictures.state_dict(), epoch / _WEIGHTS)

    def report_epoch(done: FitProgress, _step_seconds: float) -> None:
        report(
            f"image encoder, epoch {done.epochs_done}: loss {done.losses[-1]:.3f}, "
            f"held-out pictures that find their words {done.validation_ndcgs[-1]:.1%}"
        )

    fit_epochs(
        folder / _FIT,
        model,
        torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY),
        FitLimits(settings.learned_epochs, patience=settings.learned_epochs),
        label="image encoder",
        best="best",
        seed=seed,
        batches=batches,
        loss_of=model.loss,
        learning_rate=lambda epochs_done: learning_rate(int(epochs_done), settings.learned_epochs),
        learning_rate_setting="LEARNING_RATE of training.items.fit_image_encoder",
        validate=lambda _epoch: text_found(model, pictures[held_out], texts[held_out]),
        save=save,
        progress=progress,
        report=report_epoch,
    )
    weights = load_file(folder / _FIT / "best" / _WEIGHTS)
    shutil.rmtree(folder / _FIT)
    return LearnedImageEncoder.from_weights(weights)


def learning_rate(epochs_done: int, num_epochs: int) -> float:
    """Half a cosine, from the full rate down to a fiftieth.

    >>> [round(learning_rate(epochs_done, 4) / LEARNING_RATE, 2) for epochs_done in (0, 2, 4)]
    [1.0, 0.51, 0.02]
    """
    share = 0.5 * (1 + math.cos(math.pi * epochs_done / num_epochs))
    return LEARNING_RATE * (0.02 + 0.98 * share)


def _pairs(
    items: Sequence[Item], words: ModalityEmbeddings, seed: int, progress: Progress
) -> tuple[UInt8[Tensor, "pair 3 72 72"], Float[Tensor, "pair text"]]:
    """Pictures and text embeddings of the items that have both, shuffled. Texts are centred and scaled."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(words.is_present))[:MAX_PICTURES]
    picture_at = {}
    # In the order of their files.
    for row in progress(np.sort(order).tolist(), "reading pictures", len(order)):
        picture = picture_of(items[row], STORED_SIDE)
        if picture is not None:
            picture_at[row] = np.asarray(picture.resize((STORED_SIDE, STORED_SIDE), Image.Resampling.BILINEAR))
    rows = [row for row in order.tolist() if row in picture_at]
    found = [picture_at[row] for row in rows]
    if not found:
        return torch.zeros((0, 3, STORED_SIDE, STORED_SIDE), dtype=torch.uint8), torch.zeros((0, 1))
    texts = words.vectors[rows]
    texts = texts - texts.mean(axis=0)
    scale = float(np.sqrt(np.square(texts).sum(axis=1).mean())) or 1.0
    # Unit variance per component, as linear layers expect.
    texts *= math.sqrt(texts.shape[1]) / scale
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(texts)


def augmented(pictures: UInt8[Tensor, "picture 3 72 72"], random: torch.Generator) -> Float[Tensor, "picture 3 64 64"]:
    """Random crops, half of them mirrored, with random brightness, saturation and contrast."""
    count, room = len(pictures), STORED_SIDE - SIDE_PIXELS
    corners: Int[Tensor, "picture 2"] = torch.randint(room + 1, (count, 2), generator=random)
    cut = torch.stack(
        [
            picture[:, top : top + SIDE_PIXELS, left : left + SIDE_PIXELS]
            for picture, (top, left) in zip(pictures, corners.tolist(), strict=True)
        ]
    )
    is_mirrored = torch.rand(count, generator=random) < 0.5
    views = torch.where(is_mirrored[:, None, None, None], cut.flip(3), cut).float() / 255

    def factor() -> Tensor:
        return (0.7 + 0.6 * torch.rand(count, generator=random))[:, None, None, None]

    views = views * factor()
    grey, mean = views.mean(dim=1, keepdim=True), views.mean(dim=(1, 2, 3), keepdim=True)
    views = grey + (views - grey) * factor()
    views = (mean + (views - mean) * factor()).clamp(0, 1)
    return _normalized(views)


def text_found(
    model: _Matching, pictures: UInt8[Tensor, "pair 3 72 72"], texts: Float[Tensor, "pair text"], among: int = 100
) -> float:
    """The share of pictures whose own text is the nearest among `among` texts (fewer in the last group)."""
    margin = (STORED_SIDE - SIDE_PIXELS) // 2
    inner = slice(margin, margin + SIDE_PIXELS)
    device = model.log_scale.device
    model.eval()
    hits = 0
    with torch.inference_mode():
        for start in range(0, len(pictures), among):
            views = _normalized(pictures[start : start + among, :, inner, inner].float() / 255).to(device)
            nearest = model.similarities(views, texts[start : start + among].to(device)).argmax(dim=1).cpu()
            hits += int((nearest == torch.arange(len(nearest))).sum())
    return hits / max(1, len(pictures))


def _normalized(pictures: Float[Tensor, "picture 3 height width"]) -> Float[Tensor, "picture 3 height width"]:
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (PREPARATION.mean, PREPARATION.std))
    return (pictures - mean) / std
