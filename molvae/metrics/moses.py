"""The set metrics of MOSES (Polykovskiy et al. 2020), each as its authors' program computes it.

The molecules of a set are its valid ones, repeats included. What they are compared with is a `Reference`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np
import pandas as pd
from scipy.stats import wasserstein_distance

from molvae.metrics.reference import PROPERTIES, Reference
from molvae.metrics.structures import Structures
from molvae.similarity.power_means import power_means

WASSERSTEIN = {"logp": "logP", "sa": "SA", "qed": "QED", "mw": "weight"}
"""What MOSES calls the distances of the properties' distributions."""

DIVERSITY, LIKENESS = ("IntDiv", "IntDiv2"), ("SNN", "Frag", "Scaf", "FCD")
"""The figures of a set by itself, and those beside each reference, of which `likeness` has all but the last."""

UNIQUE_AT = (1_000, 10_000)


def diversity(found: Structures, workers: int | None = None) -> dict[str, float]:
    """IntDiv and IntDiv2: one minus the mean, and minus the mean root of the mean square, of all similarities."""
    first, second = power_means(found.fingerprints, (1, 2), workers=workers)
    return {"IntDiv": 1 - float(first.mean()), "IntDiv2": 1 - float(second.mean())}


def likeness(
    found: Structures, reference: Reference, label: str, workers: int | None = None, device: str = "cpu"
) -> dict[str, float | None]:
    """SNN (mean similarity to the nearest molecule of the reference), and the cosine similarity of how often each BRICS
    fragment and each scaffold occurs; None where neither set, or only one, has any."""
    other = reference.structures
    _, similarity = reference.finder(device).query(found.fingerprints, workers=workers)
    return {
        f"SNN/{label}": float(similarity.mean(dtype=np.float64)),
        f"Frag/{label}": cosine(found.fragments, other.fragments),
        f"Scaf/{label}": cosine(found.scaffolds, other.scaffolds),
    }


def distances(table: pd.DataFrame, reference: Reference) -> dict[str, float]:
    """The Wasserstein distances between the distributions of four properties, in their units."""
    theirs = reference.properties
    return {WASSERSTEIN[name]: float(wasserstein_distance(table[name], theirs[name])) for name in PROPERTIES}


def cosine(a: Mapping[str, int], b: Mapping[str, int]) -> float | None:
    """a.b / |a||b| of two tables of counts, 0 to 1; None where one of them is empty."""
    if not a or not b:
        return None
    common = sum(count * b[name] for name, count in a.items() if name in b)
    return common / sqrt(sum(c * c for c in a.values()) * sum(c * c for c in b.values()))
