"""The rows of the GPU checklist, part by part, with their musts, before anything is measured. Start at `checklist`.

Imports no torch: the process that watches the parts stays small.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.report import Row

PARALLEL, TOKEN, PUBLISHED = "clairo", "clairo_token", "published T5"
"""Two presets, and ActionPiece's sizes: d_model 128, 4 + 4 layers, 5 views, 50 beams, 10k tokens."""
FULL, SAMPLED = "dense head, full softmax", "dense head, sampled softmax"
AT_ONCE = 64
"""Requests of a batch: the most that a GPU searches at once."""
MANY_CLIENTS = 32


@dataclass(frozen=True, slots=True)
class Setup:
    """How a part measures."""

    device: str
    """`cuda`, or `cpu` for a trial."""
    is_small: bool
    """Whether sizes are those of a trial: speeds mean nothing, agreement does."""
    seconds: float
    """Spent on one figure."""
    folder: Path
    """For temporary files."""

    @property
    def catalogue_sizes(self) -> Sequence[int]:
        """Items to generate from."""
        return (300,) if self.is_small else (10_000, 100_000)

    @property
    def served_presets(self) -> Sequence[str]:
        """Presets to train and serve."""
        return (PARALLEL,) if self.is_small else (PARALLEL, TOKEN)

    @property
    def trainings(self) -> Sequence[str]:
        """Networks to train."""
        every = (PARALLEL, TOKEN, PUBLISHED, FULL, SAMPLED)
        return [name for name in every if not (self.is_small and name == PUBLISHED)]


def agrees(name: str, must: float) -> Row:
    """Share of the CPU's items that the device lists too."""
    return Row(name, None, "%", "higher", must)


def differs(name: str, must: float) -> Row:
    """Largest difference to the CPU's numbers."""
    return Row(name, None, "", "lower", must)


def generate_rows(setup: Setup) -> list[Row]:
    """Rows of part `generate`."""
    rows = []
    for preset in (PARALLEL, TOKEN):
        for num_items in setup.catalogue_sizes:
            name = catalogue_name(preset, num_items)
            rows += [
                agrees(f"{name}: the CPU's top 10, found", 99.0),
                agrees(f"{name}: the CPU's top 10 of the generator, found", 99.0),
                differs(f"{name}: largest difference of a log-probability", 1e-3),
                Row(f"{name}: one request, p50", None, "ms", "lower", 50.0, 10.0),
                Row(f"{name}: one request, p99", None, "ms", "lower"),
                Row(f"{name}: {AT_ONCE} at once", None, "requests/s", "higher"),
                Row(f"{name}: {AT_ONCE} at once, times a CPU thread", None, "x", "higher", 1.0, 5.0),
                Row(f"{name}: generator, {AT_ONCE} at once", None, "requests/s", "higher"),
                Row(f"{name}: generator, {AT_ONCE} at once, times a CPU thread", None, "x", "higher", 5.0, 20.0),
                agrees(f"{name}: float32's top 10 of the generator, kept by bfloat16", 95.0),
                Row(f"{name}: generator in bfloat16, {AT_ONCE} at once", None, "requests/s", "higher"),
            ]
            if preset == TOKEN:
                rows += graph_rows(name)
    return rows if setup.is_small else rows + published_rows()


def catalogue_name(preset: str, num_items: int) -> str:
    """Begins the names of rows about a made catalogue."""
    return f"{preset}, {num_items:,} items"


def graph_rows(name: str) -> list[Row]:
    """Rows of a search that is recorded as CUDA graphs."""
    return [
        Row(f"{name}: recorded sizes of batches", None, "", "higher", 1.0),
        Row(f"{name}: time to record them", None, "s", "lower", 60.0),
        agrees(f"{name}: top 10 of the plain search, found by graphs", 99.0),
        agrees(f"{name}: the same after new items", 99.0),
        Row(f"{name}: time to add them", None, "s", "lower", 60.0, 1.0),
        Row(f"{name}: one request by the plain search, p50", None, "ms", "lower"),
        Row(f"{name}: one request, graphs, times the plain search", None, "x", "higher", 1.0, 3.0),
        Row(f"{name}: {AT_ONCE} at once, graphs, times the plain search", None, "x", "higher", 1.0),
    ]


def published_rows() -> list[Row]:
    """Rows of the published sizes. Their musts are those of the issue that asked for a GPU."""
    rows = [
        agrees(f"{PUBLISHED}: the CPU's top 10, found", 99.0),
        Row(f"{PUBLISHED}: one request, p50", None, "ms", "lower", 5.0, 2.0),
        Row(f"{PUBLISHED}: one request, p99", None, "ms", "lower"),
        Row(f"{PUBLISHED}: 64 at once", None, "requests/s", "higher"),
        Row(f"{PUBLISHED}: 512 at once", None, "requests/s", "higher", 5_000.0, 20_000.0),
        agrees(f"{PUBLISHED}: float32's top 10, kept by bfloat16", 95.0),
        Row(f"{PUBLISHED} in bfloat16: one request, p50", None, "ms", "lower"),
        Row(f"{PUBLISHED} in bfloat16: one request, p99", None, "ms", "lower"),
        Row(f"{PUBLISHED} in bfloat16: 64 at once", None, "requests/s", "higher"),
        Row(f"{PUBLISHED} in bfloat16: 512 at once", None, "requests/s", "higher"),
        *graph_rows(PUBLISHED),
        Row("large copy", None, "GB/s", "higher"),
    ]
    for dtype in ("float32", "bfloat16"):
        rows += [
            Row(f"large product, {dtype}", None, "Tops/s", "higher"),
            Row(f"one step of the search, {dtype}", None, "ms", "lower"),
            Row(f"one step of the search, {dtype}: floor of bytes", None, "ms", "lower"),
            Row(f"one step of the search, {dtype}: floor of operations", None, "ms", "lower"),
            Row(f"one step of the search, {dtype}: against its floor", None, "x", "lower"),
        ]
    return [*rows, Row("peak GPU memory of generating", None, "GiB", "lower")]


def serve_rows(setup: Setup) -> list[Row]:
    """Rows of part `serve`: a bundle trained on the device, served on it over HTTP."""
    rows = []
    for preset in setup.served_presets:
        rows += [
            Row(f"{preset}: trained and evaluated", None, "s", "lower"),
            Row(f"{preset}: service ready", None, "s", "lower", 60.0),
            agrees(f"{preset}: the CPU's top 10, found over HTTP", 99.0),
        ]
        for clients, must in (("1 client", 50.0), (f"{MANY_CLIENTS} clients", 500.0)):
            rows += [
                Row(f"{preset}, {clients}: throughput", None, "answers/s", "higher"),
                Row(f"{preset}, {clients}: p50", None, "ms", "lower"),
                Row(f"{preset}, {clients}: p95", None, "ms", "lower", must),
                Row(f"{preset}, {clients}: not answered", None, "requests", "lower", 0.0),
            ]
        rows += [
            Row(f"{preset}: POST /items, p50", None, "ms", "lower", 1000.0, 100.0),
            Row(f"{preset}: items not posted", None, "requests", "lower", 0.0),
            Row(f"{preset}: swap to another bundle", None, "s", "lower", 60.0),
            Row(f"{preset}: slowest answer meanwhile", None, "ms", "lower", 5000.0, 1000.0),
            Row(f"{preset}: not answered meanwhile", None, "requests", "lower", 0.0),
        ]
    return rows


def train_rows(setup: Setup) -> list[Row]:
    """Rows of part `train`."""
    rows = []
    for name in setup.trainings:
        # Tiny networks wait for the launch of their kernels: the CPU may be level.
        must, aim = (5.0, 20.0) if name == PUBLISHED else (1.0, 5.0)
        rows += [
            Row(f"{name}: a CPU thread", None, "steps/s", "higher"),
            Row(f"{name}: the device", None, "steps/s", "higher"),
            Row(f"{name}: the device, times a CPU thread", None, "x", "higher", must, aim),
            # The sampled softmax draws other items on each device.
            differs(f"{name}: largest relative difference of a loss", 0.05 if name == SAMPLED else 1e-3),
        ]
        if name in (TOKEN, PUBLISHED):
            rows += [
                Row(f"{name}: the device in bfloat16, as trained", None, "steps/s", "higher"),
                differs(f"{name}: the same in bfloat16", 0.02),
            ]
    return rows


def encode_rows(setup: Setup) -> list[Row]:
    """Rows of part `encode`."""
    rows = [Row("pictures, decoded, prepared and embedded", None, "pictures/s", "higher")]
    for kind in ("pictures", "titles"):
        rows += [
            Row(f"{kind}: embedded on a CPU thread", None, f"{kind}/s", "higher"),
            Row(f"{kind}: embedded", None, f"{kind}/s", "higher"),
            Row(f"{kind}: embedded, times a CPU thread", None, "x", "higher", 5.0, 50.0),
            Row(f"{kind}: least cosine to the CPU's", None, "cosine", "higher", 0.99),
            Row(f"{kind}: embedded by ONNX Runtime", None, f"{kind}/s", "higher"),
            Row(f"{kind}: ONNX Runtime, times a CPU thread", None, "x", "higher", 5.0, 50.0),
            Row(f"{kind}: ONNX Runtime, least cosine to the CPU's", None, "cosine", "higher", 0.99),
        ]
    return rows


@dataclass(frozen=True, slots=True)
class Part:
    """A module of this room that measures rows."""

    module: str
    """Its `steps` take a `Setup`."""
    share: float
    """Of the time."""
    rows: Callable[[Setup], list[Row]]


PARTS: Mapping[str, Part] = {
    "generate": Part("benchmarks.gpu.generate", 0.35, generate_rows),
    "serve": Part("benchmarks.gpu.serve", 0.35, serve_rows),
    "train": Part("benchmarks.gpu.train", 0.15, train_rows),
    "encode": Part("benchmarks.gpu.encode", 0.15, encode_rows),
}
"""By name, in order."""
OF_AGREEMENT = ("%", "", "requests", "cosine")
"""Units of rows that say whether answers are right and complete."""


def checklist(part: Part, setup: Setup) -> list[Row]:
    """The part's rows, not measured. In a trial only agreement has musts."""
    rows = part.rows(setup)
    if setup.is_small:
        rows = [row if row.unit in OF_AGREEMENT else replace(row, must=None, aim=None) for row in rows]
    return rows
