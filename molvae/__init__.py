"""molvae generates valid, distinct, ranked analogs of a molecule.

>>> import molvae
>>> table = molvae.analogs("CC(=O)Oc1ccccc1C(=O)O", n=200)

The public names are imported on first use, so that `import molvae` is fast.
"""

import importlib

# `python -m molvae` runs this file while the working directory is on the import path; see __main__.py
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    from molvae.metrics.explanation import explain as explain
    from molvae.metrics.score import score as score
    from molvae.metrics.scorer import Scores as Scores
    from molvae.qsar.property_model import PropertyModel as PropertyModel
    from molvae.qsar.property_model import fit_property_model as fit_property_model
    from molvae.qsar.property_model import load_property_model as load_property_model
    from molvae.screening.screen import ScreenResult as ScreenResult
    from molvae.screening.screen import screen as screen
    from molvae.synthesis.planning import routes as routes
    from molvae.synthesis.route_score import RouteScore as RouteScore
    from molvae.training.train import train_model as train_model
    from molvae.viz.notebook import show as show

    __version__: str

_MODULE_OF = {
    **dict.fromkeys(("analogs", "decode", "encode", "load", "reconstruct", "sample"), "molvae.api"),
    **dict.fromkeys(
        ("CheckpointError", "InputError", "MissingExtraError", "MoleculeError", "MolvaeError", "MolvaeWarning"),
        "molvae.errors",
    ),
    "Generator": "molvae.generator",
    **dict.fromkeys(("IndexedLibrary", "index", "open_library"), "molvae.library.indexed_library"),
    "explain": "molvae.metrics.explanation",
    "score": "molvae.metrics.score",
    "Scores": "molvae.metrics.scorer",
    **dict.fromkeys(("PropertyModel", "fit_property_model", "load_property_model"), "molvae.qsar.property_model"),
    **dict.fromkeys(("ScreenResult", "screen"), "molvae.screening.screen"),
    "routes": "molvae.synthesis.planning",
    "RouteScore": "molvae.synthesis.route_score",
    "train_model": "molvae.training.train",
    "show": "molvae.viz.notebook",
}

_SUBPACKAGES = ("explore",)

__all__ = [*_MODULE_OF, *_SUBPACKAGES, "__version__"]


def __getattr__(name: str) -> "Any":
    if name == "__version__":
        from importlib.metadata import version

        return version("molvae")
    if name in _SUBPACKAGES:
        return importlib.import_module(f"molvae.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'molvae' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value  # later accesses do not call __getattr__
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
