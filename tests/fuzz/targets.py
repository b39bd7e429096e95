"""The fuzz targets. A target is a function of a random generator and a number of inputs that returns a `Report`.

To add one, write it in a module of this folder and name it in `TARGETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from fuzz.batches import batches
from fuzz.chemistry import chemistry
from fuzz.folders import libraries, models, property_models
from fuzz.report import Report

Target = Callable[[Random, int], Report]

TARGETS: dict[str, tuple[Target, float]] = {
    "chemistry": (chemistry, 1.0),
    "batches": (batches, 0.15),
    "models": (models, 0.004),
    "property_models": (property_models, 0.004),
    "libraries": (libraries, 0.004),
}
"""Each target and its number of inputs relative to `--n`."""
