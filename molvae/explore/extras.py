"""Libraries that only some tools need."""

from __future__ import annotations

import importlib
from typing import Any

from molvae.errors import MissingExtraError


def library(name: str, extra: str = "explore") -> Any:
    """The module `name`, such as sklearn.cluster. Raises `MissingExtraError` naming the extra that brings it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        needed = name.split(".")[0]
        raise MissingExtraError(f"this needs {needed}: pip install 'molvae[{extra}]'") from None
