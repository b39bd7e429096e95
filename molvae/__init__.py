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
    from molvae.library.indexed_library import IndexedLibrary as IndexedLibrary
    from molvae.library.indexed_library import index as index
    from molvae.library.indexed_library import open_library as open_library
    from molvae.metrics.score import score as score
    from molvae.metrics.scorer import Scores as Scores
    from molvae.qsar.property_model import PropertyModel as PropertyModel
    from molvae.qsar.property_model import fit_property_model as fit_property_model
    from molvae.qsar.property_model import load_property_model as load_property_model
    from molvae.screening.screen import ScreenResult as ScreenResult
    from molvae.screening.screen import screen as screen
    from molvae.training.train import train_model as train_model
    from molvae.viz.notebook import show as show

    __version__: str

_HOME = {
    **dict.fromkeys(("analogs", "decode", "encode", "load", "reconstruct", "sample"), "molvae.api"),
    **dict.fromkeys(
        ("CheckpointError", "InputError", "MissingExtraError", "MoleculeError", "MolvaeError", "MolvaeWarning"),
        "molvae.errors",
    ),
    "Generator": "molvae.generator",
    **dict.fromkeys(("IndexedLibrary", "index", "open_library"), "molvae.library.indexed_library"),
    "score": "molvae.metrics.score",
    "Scores": "molvae.metrics.scorer",
    **dict.fromkeys(("PropertyModel", "fit_property_model", "load_property_model"), "molvae.qsar.property_model"),
    **dict.fromkeys(("ScreenResult", "screen"), "molvae.screening.screen"),
    "train_model": "molvae.training.train",
    "show": "molvae.viz.notebook",
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
