"""Save and load a `ParallelNetwork`, and its graph if it has one: generator.json, which names its kind, and
arrays.safetensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from clairo_core.errors import GeneratorError
from clairo_core.generation.parallel.id_graph import Links
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.ranking.history_encoder import HISTORY_ENCODERS
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

PARALLEL_FILES = ("generator.json", "arrays.safetensors")
_PART, _KIND = "generator", "parallel"
_NEIGHBOURS, _STEPS = "neighbours", "graph_steps"


class _Undrawn(TorchFunctionMode):
    """Draw no first weights on the device `meta`: they are not kept, and torch loads its compiler for it (1.6 s)."""

    _WITHOUT_EFFECT = frozenset({"fill_", "kaiming_uniform_", "mul", "normal_", "uniform_", "xavier_uniform_", "zero_"})
    """None of them changes a shape."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Leave a tensor as it is, or call the function."""
        if func.__name__ in self._WITHOUT_EFFECT:
            return args[0] if args else (kwargs or {})["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def save_network(network: ParallelNetwork, folder: Path, links: Links | None = None) -> None:
    """Write both files into `folder`, created if missing. `links` are those of the graph that is searched."""
    arrays = {name: weight.detach().float().cpu().numpy() for name, weight in network.state_dict().items()}
    header = asdict(network.sizes)
    if links is not None:
        arrays[_NEIGHBOURS] = links.neighbours
        header[_STEPS] = links.num_steps
    save_array_folder(folder, _PART, _KIND, arrays, header)


def holds_network(folder: Path) -> bool:
    """Whether the folder holds a network; a T5's has transformers' files."""
    return (folder / PARALLEL_FILES[0]).is_file()


def load_network(folder: Path) -> ParallelNetwork:
    """Load a network, ready to generate.

    Raises:
        GeneratorError: a file is missing, damaged or newer, or an array is not of the shape that the header gives.
    """
    saved = load_array_folder(folder, _PART, _KIND, GeneratorError)
    # Networks of before have one kind of reader.
    defaults = {field.name: None if field.default is MISSING else field.default for field in fields(NetworkSizes)}
    found = {name: saved.header.get(name, default) for name, default in defaults.items()}
    reader = found.pop("reader")
    sizes = {name: size for name, size in found.items() if isinstance(size, int) and size > 0}
    if len(sizes) < len(found):
        raise GeneratorError(f"{saved.header_path}: sizes are {found}, expected whole numbers; copy the folder again")
    if reader not in HISTORY_ENCODERS or sizes["width"] % sizes["num_heads"]:
        raise GeneratorError(
            f"{saved.header_path}: reader is {reader!r} of {sizes['num_heads']} heads and width {sizes['width']}, "
            f"expected one of {', '.join(HISTORY_ENCODERS)}, and a multiple of the heads; update CLAIRO, or copy the "
            "folder again"
        )
    # Damaged sizes must not take memory: the arrays are there before the network is.
    with torch.device("meta"), _Undrawn():
        network = ParallelNetwork(NetworkSizes(reader=str(reader), **sizes))
    weights = {
        name: torch.from_numpy(saved.array(name, np.float32, tuple(weight.shape)))
        for name, weight in network.state_dict().items()
    }
    network.load_state_dict(weights, assign=True)
    return network.eval()


def load_links(folder: Path) -> Links | None:
    """Load the links of the graph that a network is searched by; None if every item is scored.

    Raises:
        GeneratorError: as `load_network`.
    """
    saved = load_array_folder(folder, _PART, _KIND, GeneratorError)
    num_steps = saved.header.get(_STEPS)
    if num_steps is None:
        return None
    if not isinstance(num_steps, int) or num_steps < 1:
        raise GeneratorError(
            f"{saved.header_path}: {_STEPS} is {num_steps!r}, expected 1 or more; copy the folder again"
        )
    return Links(saved.mapped(_NEIGHBOURS, np.int32, (None, None)), num_steps)
