"""Compile numeric kernels once, at installation, and find their machine code again in every later process.

Knows numba and its cache on disk; knows nothing of what the kernels compute. Start at `kernel`.

What numba's own `cache=True` gets wrong for an installed package, and what is done about it here:

- It watches a kernel's own file only: a change in a helper that lives in another file leaves stale code behind.
  Our folder's name holds a digest of every kernel file around.
- Where site-packages is read-only it ignores the code that was compiled there at installation, and where no folder
  can be written at all the import fails. We copy that code into a folder of the process, or compile without a cache.
- It compiles anew for every combination of argument types: a read-only array would cost a user seconds, and two
  processes that compile different combinations at once may take each other's files. Our kernels have one signature.
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
    """The type of a kernel's input array in C order; arrays that can be written are accepted too."""
    return types.Array(element, num_dimensions, "C", readonly=True)


def writable(element: Any, num_dimensions: int) -> Any:
    """The type of an array in C order that a kernel changes."""
    return types.Array(element, num_dimensions, "C")


def kernel(*argument_types: Any) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Compile a function for exactly these argument types, at its first call or by `compile_kernels`.

    A kernel runs without the interpreter's lock, so that threads do not wait for each other. Arguments of other
    types are a TypeError. Helpers that kernels call are plain `numba.njit` functions.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        dispatcher = _cached_dispatcher(function)

        def ensure_compiled() -> None:
            with _compiling:
                if not dispatcher.signatures:
                    dispatcher.compile(argument_types)
                    dispatcher.disable_compile()

        @functools.wraps(function)
        def call(*arguments: Parameters.args, **_: Parameters.kwargs) -> Result:
            if not dispatcher.signatures:
                ensure_compiled()
            result: Result = dispatcher(*arguments)
            return result

        _registered.append(ensure_compiled)
        return call

    return decorate


def compile_kernels() -> int:
    """Compile every kernel of the modules imported so far, or load it from the cache; returns how many there are."""
    for ensure_compiled in _registered:
        ensure_compiled()
    return len(_registered)


def _cached_dispatcher(function: Callable[..., Any]) -> Any:
    """The function ready to be compiled, with its machine code kept on disk wherever that can be had."""
    source_folder = Path(function.__code__.co_filename).parent
    try:
        with _numba_cache_in(_cache_folder(source_folder)):
            return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # how numba says that no folder can be written
        logger.warning("no folder for compiled kernels can be written; compiling %s anew", function.__name__)
        return numba.njit(nogil=True)(function)


@contextlib.contextmanager
def _numba_cache_in(folder: Path) -> Iterator[None]:
    """Let numba cache in `folder` whatever is decorated inside; a NUMBA_CACHE_DIR set by the user goes first."""
    previous = numba.config.CACHE_DIR
    if not previous:
        numba.config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = previous


@functools.cache
def _cache_folder(source_folder: Path) -> Path:
    """Where the machine code of `source_folder`'s kernels lies; the folder can be written if any can."""
    folder = source_folder / "__pycache__" / f"kernels-{_source_digest(source_folder)}"
    if _can_write(folder) or not folder.is_dir():
        return folder
    copy = Path(_process_folder().name) / source_folder.name
    shutil.copytree(folder, copy)
    return copy


def _source_digest(source_folder: Path) -> str:
    """Digest of every file whose code may end up inside a kernel of `source_folder`."""
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
    """A folder of this process alone, removed when it ends; numba's cache files must never be shared blindly."""
    return tempfile.TemporaryDirectory(prefix="clairo-kernels-")
