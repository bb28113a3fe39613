"""Encode pictures and titles on a GPU: by their libraries, and exported to ONNX Runtime.

Pictures by open_clip's ViT-B-32 with random weights, which are as fast as trained ones; titles by MiniLM. On a GPU the
first runs in float16, the second in bfloat16, as in serving; ONNX Runtime keeps float32. The CPU has one thread.
"""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import open_clip  # type: ignore[import-untyped]
import torch
from jaxtyping import Float32
from PIL import Image

from benchmarks.gpu.checklist import Setup
from benchmarks.gpu.device import per_second
from benchmarks.gpu.run_parts import Measured, Step
from benchmarks.speed.growth_shop import made_titles
from clairo_core.encoders import ModalityEncoder, OnnxImageEncoder, OpenClipEncoder, SentenceTransformerEncoder
from clairo_core.encoders.picture_preparation import PicturePreparation
from clairo_core.items import Item
from tests.pretrained import minilm_folder
from training.items.export_encoders import export_encoder

MODEL = "ViT-B-32"
SMALL_SHAPE = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
}
NO_TEXT = {"context_length": 2, "vocab_size": 4, "width": 8, "heads": 1, "layers": 1}
MEAN, DEVIATION = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
JPEG_SIDE = 512
NUM_ITEMS, SMALL_NUM_ITEMS = 256, 8
NUM_ON_CPU = 32
Embed = Callable[[int], Float32[np.ndarray, "item dim"]]
"""Embeds the first so many items."""


def steps(setup: Setup) -> list[Step]:
    """What this part measures, in order."""
    torch.set_num_threads(1)
    return [partial(picture_figures, setup), partial(title_figures, setup)]


def picture_figures(setup: Setup) -> Iterator[Measured]:
    """From JPEGs, and of prepared pictures alone."""
    count = SMALL_NUM_ITEMS if setup.is_small else NUM_ITEMS
    with TemporaryDirectory() as name:
        folder = Path(name)
        random_picture_encoder(setup.is_small).save(folder / "saved")
        on_cpu = OpenClipEncoder.load(folder / "saved", use_gpu=False)
        on_device = OpenClipEncoder.load(folder / "saved", use_gpu=setup.device == "cuda")
        random, side = np.random.default_rng(0), on_cpu.preparation.height
        items = [Item(item_id=str(row), texts={}, picture=drawn_jpeg(random)) for row in range(count)]
        rate = per_second(partial(on_device.encode, items), count, setup.seconds)
        yield "pictures, decoded, prepared and embedded", rate
        prepared = random.standard_normal((count, 3, side, side), dtype=np.float32)

        def embedded_by(encoder: ModalityEncoder) -> Embed:
            assert isinstance(encoder, OpenClipEncoder | OnnxImageEncoder)
            return lambda first: encoder.embed(prepared[:first])

        yield from figures("pictures", setup, count, embedded_by(on_cpu), embedded_by(on_device))
        yield from onnx_figures("pictures", setup, count, on_cpu, embedded_by)


def title_figures(setup: Setup) -> Iterator[Measured]:
    """Of titles of six words."""
    count = SMALL_NUM_ITEMS if setup.is_small else NUM_ITEMS
    titles = made_titles(count).to_pylist()
    items = [Item(item_id=str(row), texts={"title": title}) for row, title in enumerate(titles)]

    def embedded_by(encoder: ModalityEncoder) -> Embed:
        return lambda first: encoder.encode(items[:first]).vectors

    with TemporaryDirectory() as name:
        folder = Path(name)
        SentenceTransformerEncoder.from_pretrained(str(minilm_folder())).save(folder)
        on_cpu = SentenceTransformerEncoder.load(folder, use_gpu=False)
        on_device = SentenceTransformerEncoder.load(folder, use_gpu=setup.device == "cuda")
    yield from figures("titles", setup, count, embedded_by(on_cpu), embedded_by(on_device))
    yield from onnx_figures("titles", setup, count, on_cpu, embedded_by)


def figures(kind: str, setup: Setup, count: int, on_cpu: Embed, on_device: Embed) -> Iterator[Measured]:
    """Rates on both, and how close the vectors are."""
    few = min(NUM_ON_CPU, count)
    slow, fast = per_second(partial(on_cpu, few), few, 0.0, at_least=1), rate_of(on_device, count, setup)
    yield f"{kind}: embedded on a CPU thread", slow
    yield f"{kind}: embedded", fast
    yield f"{kind}: embedded, times a CPU thread", fast / slow
    yield f"{kind}: least cosine to the CPU's", least_cosine(on_cpu(few), on_device(few))


def onnx_figures(
    kind: str, setup: Setup, count: int, encoder: ModalityEncoder, embedded_by: Callable[[ModalityEncoder], Embed]
) -> Iterator[Measured]:
    """The same of an export, which ONNX Runtime runs on a GPU where it can."""
    few = min(NUM_ON_CPU, count)
    with TemporaryDirectory() as folder:
        on_cpu, exported = embedded_by(encoder), embedded_by(export_encoder(encoder, Path(folder)))
        slow, fast = per_second(partial(on_cpu, few), few, 0.0, at_least=1), rate_of(exported, count, setup)
        yield f"{kind}: embedded by ONNX Runtime", fast
        yield f"{kind}: ONNX Runtime, times a CPU thread", fast / slow
        yield f"{kind}: ONNX Runtime, least cosine to the CPU's", least_cosine(on_cpu(few), exported(few))


def rate_of(embed: Embed, count: int, setup: Setup) -> float:
    """Items per second."""
    return per_second(partial(embed, count), count, setup.seconds)


def least_cosine(expected: Float32[np.ndarray, "item dim"], found: Float32[np.ndarray, "item dim"]) -> float:
    """Smallest cosine of an item's two vectors."""
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    return float(((expected * found).sum(axis=1) / lengths).min())


def random_picture_encoder(is_small: bool) -> OpenClipEncoder:
    """An open_clip model with fixed random weights."""
    shape: dict[str, Any] = SMALL_SHAPE if is_small else open_clip.get_model_config(MODEL)
    shape = {name: part for name, part in shape.items() if name != "text_cfg"}
    side = shape["vision_cfg"]["image_size"]
    torch.manual_seed(0)
    visual = open_clip.CLIP(**shape, text_cfg=NO_TEXT).visual
    return OpenClipEncoder(visual, shape, PicturePreparation(side, side, MEAN, DEVIATION), f"random {MODEL}")


def drawn_jpeg(random: np.random.Generator) -> bytes:
    """A JPEG of coloured blocks."""
    blocks = Image.fromarray(random.integers(256, size=(8, 8, 3)).astype(np.uint8))
    file = io.BytesIO()
    blocks.resize((JPEG_SIDE, JPEG_SIDE), Image.Resampling.NEAREST).save(file, "JPEG", quality=88)
    return file.getvalue()
