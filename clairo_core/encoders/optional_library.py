"""Import a library that only some encoders need, without its reports to its makers."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from clairo_core.errors import EncoderError

NO_REPORTS = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
"""Variables, read at import, that keep ONNX Runtime and Hugging Face from sending what runs here; ours unless set."""


def optional_library(module: str, distribution: str) -> ModuleType:
    """Import the module.

    Raises:
        EncoderError: it is not installed; the message gives the command.
    """
    for variable in NO_REPORTS:
        os.environ.setdefault(variable, "1")
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
