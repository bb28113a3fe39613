"""Train a small image encoder on a catalogue's own pictures: each is to find its item's words among others'.

Knows pictures, text embeddings and the loss; knows nothing of histories or bundles. Start at `fit_image_encoder`.

Source: Radford et al. 2021, CLIP's symmetric InfoNCE. We differ: the text side is a text embedding that is there
already and one learned matrix, the network is small, and the epoch is kept in which pictures that were held out find
their words best.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.encoders.item_content import picture_of
from clairo_core.encoders.learned_image import PREPARATION, SIDE_PIXELS, LearnedImageEncoder, PictureNetwork
from clairo_core.errors import TrainingError
from clairo_core.items import Item
from clairo_core.progress import Progress
from clairo_core.storage.replaced_file import replaced_file
from training.config.preset import EncodeSettings

STORED_SIDE = 72
"""Pictures are kept at this size, and cut to 64 pixels somewhere else each time."""
MAX_PICTURES = 40_000
BATCH_SIZE = 128
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.05
HELD_OUT_SHARE, MAX_HELD_OUT = 0.1, 500
MIN_PICTURES = 32
_CHECKPOINT = "image-encoder.safetensors"


class _Matching(nn.Module):
    """Both sides, and how sharp the softmax is."""

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


@dataclass(slots=True)
class _Progress:
    """How far a run got."""

    epochs_done: int = 0
    best_epoch: int = 0
    best_score: float = -1.0


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
    """Train on items that have a picture and words, going on from what a killed run left in `folder`.

    Every epoch draws its order and augmentation from (seed, epoch).

    Raises:
        TrainingError: fewer than 32 items have both.
    """
    pictures, texts = _pairs(items, words, seed, progress)
    if len(pictures) < MIN_PICTURES:
        raise TrainingError(
            f"{len(pictures)} training items have both a picture and words, expected at least {MIN_PICTURES} to learn "
            "an image encoder from; use --set encode.image_encoder=builtin"
        )
    num_held_out = min(MAX_HELD_OUT, round(HELD_OUT_SHARE * len(pictures)))
    held_out, learned = slice(0, num_held_out), slice(num_held_out, None)
    torch.manual_seed(seed)
    model = _Matching(texts.shape[1], settings.learned_dim).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    best = {name: tensor.clone() for name, tensor in model.pictures.state_dict().items()}
    done = _load(folder / _CHECKPOINT, model, optimizer, best)
    while done.epochs_done < settings.learned_epochs:
        epoch = done.epochs_done + 1
        share = 0.5 * (1 + math.cos(math.pi * done.epochs_done / settings.learned_epochs))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (0.02 + 0.98 * share)
        label = f"image encoder, epoch {epoch}/{settings.learned_epochs}"
        loss = _train_epoch(
            model, optimizer, pictures[learned], texts[learned], seed * 100_003 + epoch, label, progress
        )
        score = text_found(model, pictures[held_out], texts[held_out])
        done.epochs_done = epoch
        if score > done.best_score:
            done.best_epoch, done.best_score = epoch, score
            best = {name: tensor.detach().clone() for name, tensor in model.pictures.state_dict().items()}
        _save(folder / _CHECKPOINT, model, optimizer, best, done)
        report(f"image encoder, epoch {epoch}: loss {loss:.3f}, held-out pictures that find their words {score:.1%}")
    (folder / _CHECKPOINT).unlink(missing_ok=True)
    return LearnedImageEncoder.from_weights({name: tensor.cpu() for name, tensor in best.items()})


def _pairs(
    items: Sequence[Item], words: ModalityEmbeddings, seed: int, progress: Progress
) -> tuple[UInt8[Tensor, "pair 3 72 72"], Float[Tensor, "pair text"]]:
    """Pictures and text embeddings of the items that have both, in a drawn order, texts centred and of one scale."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(words.is_present))[:MAX_PICTURES]
    found, rows = [], []
    for row in progress(order.tolist(), "reading pictures", len(order)):
        picture = picture_of(items[row], STORED_SIDE)
        if picture is not None:
            found.append(np.asarray(picture.resize((STORED_SIDE, STORED_SIDE), Image.Resampling.BILINEAR)))
            rows.append(row)
    if not found:
        return torch.zeros((0, 3, STORED_SIDE, STORED_SIDE), dtype=torch.uint8), torch.zeros((0, 1))
    texts = words.vectors[rows]
    texts = texts - texts.mean(axis=0)
    scale = float(np.sqrt(np.square(texts).sum(axis=1).mean())) or 1.0
    # At unit variance a component, as linear layers expect it.
    texts *= math.sqrt(texts.shape[1]) / scale
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(texts)


def _train_epoch(
    model: _Matching,
    optimizer: torch.optim.Optimizer,
    pictures: UInt8[Tensor, "pair 3 72 72"],
    texts: Float[Tensor, "pair text"],
    seed: int,
    label: str,
    progress: Progress,
) -> float:
    """One pass in a drawn order; returns the mean loss."""
    random = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    batches = torch.randperm(len(pictures), generator=random).split(BATCH_SIZE)  # type: ignore[no-untyped-call]
    # One picture alone has nothing to be told apart from.
    batches = tuple(batch for batch in batches if len(batch) > 1)
    device = model.log_scale.device
    model.train()
    losses = []
    for batch in progress(batches, label, len(batches)):
        views = augmented(pictures[batch], random).to(device)
        similarities = model.similarities(views, nn.functional.dropout(texts[batch].to(device), 0.2))
        own = torch.arange(len(batch), device=device)
        loss = nn.functional.cross_entropy(similarities, own, label_smoothing=0.1)
        loss = (loss + nn.functional.cross_entropy(similarities.T, own, label_smoothing=0.1)) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


def augmented(pictures: UInt8[Tensor, "picture 3 72 72"], random: torch.Generator) -> Float[Tensor, "picture 3 64 64"]:
    """Cut somewhere, half of them mirrored, brighter or darker, of stronger or weaker contrast and colours."""
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


def _save(
    path: Path,
    model: _Matching,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
    done: _Progress,
) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": tensor for key, tensor in state.items()}
    said = {name: repr(getattr(done, name)) for name in done.__dataclass_fields__}
    with replaced_file(path) as aside:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, aside, said)


def _load(path: Path, model: _Matching, optimizer: torch.optim.Optimizer, best: dict[str, Tensor]) -> _Progress:
    """Bring all three to where a run stood; a fresh start if there is no checkpoint."""
    if not path.is_file():
        return _Progress()
    device = str(model.log_scale.device)
    with safe_open(path, framework="pt", device=device) as saved:
        said = saved.metadata()
        tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118 - not a mapping
    model.load_state_dict(_below(tensors, "model."))
    best.update(_below(tensors, "best."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below(tensors, "optimizer.").items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return _Progress(int(said["epochs_done"]), int(said["best_epoch"]), float(said["best_score"]))


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
