"""Save and load a `ParallelNetwork`: generator.json, which names its kind, and arrays.safetensors."""

from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch

from clairo_core.errors import GeneratorError
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

PARALLEL_FILES = ("generator.json", "arrays.safetensors")
_PART, _KIND = "generator", "parallel"


def save_network(network: ParallelNetwork, folder: Path) -> None:
    """Write both files into `folder`, created if missing."""
    arrays = {name: weight.detach().float().cpu().numpy() for name, weight in network.state_dict().items()}
    save_array_folder(folder, _PART, _KIND, arrays, asdict(network.sizes))


def holds_network(folder: Path) -> bool:
    """Whether the folder holds a network; a T5's has transformers' files."""
    return (folder / PARALLEL_FILES[0]).is_file()


def load_network(folder: Path) -> ParallelNetwork:
    """Load a network, ready to generate.

    Raises:
        GeneratorError: a file is missing, damaged or newer, or an array is not of the shape that the header gives.
    """
    saved = load_array_folder(folder, _PART, _KIND, GeneratorError)
    found = {field.name: saved.header.get(field.name) for field in fields(NetworkSizes)}
    sizes = {name: size for name, size in found.items() if isinstance(size, int) and size > 0}
    if len(sizes) < len(found):
        raise GeneratorError(f"{saved.header_path}: sizes are {found}, expected whole numbers; copy the folder again")
    # Damaged sizes must not take memory: the arrays are there before the network is.
    with torch.device("meta"):
        network = ParallelNetwork(NetworkSizes(**sizes))
    weights = {
        name: torch.from_numpy(saved.array(name, np.float32, tuple(weight.shape)).copy())
        for name, weight in network.state_dict().items()
    }
    network.load_state_dict(weights, assign=True)
    return network.eval()
