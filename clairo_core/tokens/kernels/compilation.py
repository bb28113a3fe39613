"""Compile numeric kernels once, at installation, and load their machine code in later processes. Start at `kernel`.

Numba's own `cache=True` has three faults for an installed package, which this module avoids:

- It watches a kernel's own file only: a changed helper in another file leaves stale code. Our cache folder's name holds
  a digest of all kernel files.
- With a read-only site-packages it ignores the code compiled there at installation, and without any writable folder the
  import fails. We copy that code into a folder of the process, or compile without a cache.
- It compiles again for every combination of argument types: a read-only array would cost a user seconds, and two
  processes that compile different combinations may take each other's files. Our kernels have one signature.
"""

import contextlib
import functools
import hashlib
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from numba import types

logger = logging.getLogger(__name__)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_registered: list[Callable[[], None]] = []
_compiling = threading.Lock()


def read_only(element: Any, num_dimensions: int) -> Any:
    """The type of an input array in C order; writable arrays are accepted too."""
    return types.Array(element, num_dimensions, "C", readonly=True)


def writable(element: Any, num_dimensions: int) -> Any:
    """The type of an array in C order that a kernel changes."""
    return types.Array(element, num_dimensions, "C")


def kernel(*argument_types: Any) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Compile a function for exactly these argument types, at its first call or in `compile_kernels`.

    A kernel runs without the interpreter's lock, so threads run in parallel. Arguments of other types raise TypeError.
    Helpers that kernels call are plain `numba.njit` functions.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        dispatcher = _cached_dispatcher(function)
        is_compiled = False

        def ensure_compiled() -> None:
            nonlocal is_compiled
            with _compiling:
                if not dispatcher.signatures:
                    dispatcher.compile(argument_types)
                    dispatcher.disable_compile()
                is_compiled = True

        @functools.wraps(function)
        def call(*arguments: Parameters.args, **_: Parameters.kwargs) -> Result:
            # Not `dispatcher.signatures`, which takes longer than a small kernel.
            if not is_compiled:
                ensure_compiled()
            result: Result = dispatcher(*arguments)
            return result

        _registered.append(ensure_compiled)
        return call

    return decorate


def compile_kernels() -> int:
    """Compile every kernel of the modules imported so far, or load it from the cache; returns their number."""
    for ensure_compiled in _registered:
        ensure_compiled()
    return len(_registered)


def _cached_dispatcher(function: Callable[..., Any]) -> Any:
    """The function ready to compile, with its machine code cached on disk if possible."""
    source_folder = Path(function.__code__.co_filename).parent
    try:
        with _numba_cache_in(_cache_folder(source_folder)):
            return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found no writable folder
        logger.warning("no folder for compiled kernels can be written; compiling %s again", function.__name__)
        return numba.njit(nogil=True)(function)


@contextlib.contextmanager
def _numba_cache_in(folder: Path) -> Iterator[None]:
    """Let numba cache functions decorated inside the block in `folder`; a user's NUMBA_CACHE_DIR has precedence."""
    previous = numba.config.CACHE_DIR
    if not previous:
        numba.config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = previous


@functools.cache
def _cache_folder(source_folder: Path) -> Path:
    """The cache folder of `source_folder`'s kernels; writable if any folder is."""
    folder = source_folder / "__pycache__" / f"kernels-{_source_digest(source_folder)}"
    if _can_write(folder) or not folder.is_dir():
        return folder
    copy = Path(_process_folder().name) / source_folder.name
    shutil.copytree(folder, copy)
    return copy


def _source_digest(source_folder: Path) -> str:
    """Digest of every file whose code may be compiled into a kernel of `source_folder`."""
    digest = hashlib.sha256()
    for folder in sorted({source_folder, Path(__file__).parent}):
        for path in sorted(folder.glob("*_kernels.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


@functools.cache
def _process_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process alone, removed at its end; numba's cache files must not be shared blindly."""
    return tempfile.TemporaryDirectory(prefix="clairo-kernels-")
