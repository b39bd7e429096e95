"""molvae: one molecule in, hundreds of valid, distinct, ranked analogs out.

>>> import molvae
>>> table = molvae.analogs("CC(=O)Oc1ccccc1C(=O)O", n=200)

The names below are imported when first used, so `import molvae` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molvae.api import analogs as analogs
    from molvae.api import decode as decode
    from molvae.api import encode as encode
    from molvae.api import load as load
    from molvae.api import reconstruct as reconstruct
    from molvae.api import sample as sample
    from molvae.errors import CheckpointError as CheckpointError
    from molvae.errors import InputError as InputError
    from molvae.errors import MissingExtraError as MissingExtraError
    from molvae.errors import MoleculeError as MoleculeError
    from molvae.errors import MolvaeError as MolvaeError
    from molvae.generator import Generator as Generator
    from molvae.generator import MolvaeWarning as MolvaeWarning
    from molvae.scoring.score import score as score
    from molvae.scoring.scorer import Scores as Scores

    __version__: str

_HOME = {
    **dict.fromkeys(("analogs", "decode", "encode", "load", "reconstruct", "sample"), "molvae.api"),
    **dict.fromkeys(
        ("CheckpointError", "InputError", "MissingExtraError", "MoleculeError", "MolvaeError"), "molvae.errors"
    ),
    **dict.fromkeys(("Generator", "MolvaeWarning"), "molvae.generator"),
    "score": "molvae.scoring.score",
    "Scores": "molvae.scoring.scorer",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("molvae")
    if name not in _HOME:
        raise AttributeError(f"module 'molvae' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # next time without this detour
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
