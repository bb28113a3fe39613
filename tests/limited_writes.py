"""Write 1.2 MB where a file may have 100 KiB, and print the error: the name of its file, its lines, and what is left.

python -m tests.limited_writes LIBRARY FOLDER file|folder
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clairo_core.errors import BundleError
from clairo_core.storage.replaced_file import replaced_file
from clairo_core.storage.replaced_folder import replaced_folder

NUMBERS = np.random.default_rng(0).random((400, 400))


def safetensors(path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": NUMBERS}, path)


def torch(path: Path) -> None:
    import torch

    torch.save(torch.from_numpy(NUMBERS), path)


def numpy(path: Path) -> None:
    np.savez(path.open("wb"), a=NUMBERS)


def numpy_plain(path: Path) -> None:
    np.save(path.open("wb"), NUMBERS)


def pyarrow(path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": NUMBERS.ravel()}), path)


def pillow(path: Path) -> None:
    from PIL import Image

    Image.fromarray((NUMBERS * 255).astype("uint8")).save(path, format="PNG")


def text(path: Path) -> None:
    path.write_text("x" * 400_000)


def transformers(path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    shape = T5Config(vocab_size=2000, d_model=64, num_layers=1, d_ff=64, d_kv=8)
    T5ForConditionalGeneration(shape).save_pretrained(path)


FILE_LIBRARIES: dict[str, Callable[[Path], None]] = {
    write.__name__: write for write in (safetensors, torch, numpy, numpy_plain, pyarrow, pillow, text)
}
LIBRARIES = FILE_LIBRARIES | {"transformers": transformers}


def main(library: str, folder: Path, into: str) -> None:
    write = LIBRARIES[library]
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 1024, 100 * 1024))
    try:
        if into == "file":
            with replaced_file(folder / "written") as aside:
                write(aside)
        else:
            with replaced_folder(folder / "written", marker="m", expected="a folder", error=BundleError) as aside:
                write(aside / "part")
    except OSError as error:
        print(Path(error.filename).name, error.strerror.count("\n"), sorted(path.name for path in folder.iterdir()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
