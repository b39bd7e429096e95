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
    from molvae.errors import MolvaeWarning as MolvaeWarning
    from molvae.generator import Generator as Generator
    from molvae.libraries import IndexedLibrary as IndexedLibrary
    from molvae.libraries import index as index
    from molvae.libraries import open_library as open_library
    from molvae.property_models import PropertyModel as PropertyModel
    from molvae.property_models import fit_property_model as fit_property_model
    from molvae.property_models import load_property_model as load_property_model
    from molvae.sampling.request import AnalogOptions as AnalogOptions
    from molvae.scoring.score import score as score
    from molvae.scoring.scorer import Scores as Scores
    from molvae.screens import Screened as Screened
    from molvae.screens import screen as screen

    __version__: str

_HOME = {
    **dict.fromkeys(("analogs", "decode", "encode", "load", "reconstruct", "sample"), "molvae.api"),
    **dict.fromkeys(
        ("CheckpointError", "InputError", "MissingExtraError", "MoleculeError", "MolvaeError", "MolvaeWarning"),
        "molvae.errors",
    ),
    "AnalogOptions": "molvae.sampling.request",
    "Generator": "molvae.generator",
    **dict.fromkeys(("IndexedLibrary", "index", "open_library"), "molvae.libraries"),
    "score": "molvae.scoring.score",
    "Scores": "molvae.scoring.scorer",
    **dict.fromkeys(("PropertyModel", "fit_property_model", "load_property_model"), "molvae.property_models"),
    **dict.fromkeys(("Screened", "screen"), "molvae.screens"),
}

_MODULES = ("explore",)

__all__ = [*_HOME, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("molvae")
    if name in _MODULES:
        return importlib.import_module(f"molvae.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'molvae' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # next time without this detour
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
