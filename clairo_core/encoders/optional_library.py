"""Import a library that only some encoders need."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from clairo_core.errors import EncoderError


def optional_library(module: str, distribution: str) -> ModuleType:
    """Import the module.

    Raises:
        EncoderError: it is not installed; the message gives the command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EncoderError(
            f"this encoder needs {distribution}, which cannot be imported ({error}); "
            "install it with: pip install 'clairo[encoders]'"
        ) from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' own progress bars while weights are read or written."""
    from transformers.utils import logging  # noqa: PLC0415 - slow to import

    if not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
