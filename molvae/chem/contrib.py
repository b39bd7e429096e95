"""RDKit's Contrib: scorers that come with it, each with a table of its own."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from rdkit import RDConfig

from molvae.errors import InputError


@cache
def contrib(folder: str, module: str) -> ModuleType:
    """A scorer of RDKit's Contrib: a package in the wheel, a loose file in conda's build.

    Loaded on first use, because it reads a table of megabytes, and never through `sys.path`.
    """
    try:
        return importlib.import_module(f"rdkit.Contrib.{folder}.{module}")
    except ImportError:
        path = Path(RDConfig.RDContribDir) / folder / f"{module}.py"
        spec = importlib.util.spec_from_file_location(f"molvae_{module}", path)
        if spec is None or spec.loader is None or not path.exists():
            raise InputError(f"this property needs RDKit's {folder}; there is none at {path}") from None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded
