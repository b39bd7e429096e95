"""The metrics of a set, and notes on those that have no meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.data.hashing import hash_texts
from molvae.errors import InputError, MissingExtraError
from molvae.metrics import fcd, guacamol, moses
from molvae.metrics.molecules import COLUMNS
from molvae.metrics.reference import GUACAMOL_MOLECULES, Reference, among, guacamol_columns, without_stereo
from molvae.metrics.structures import Structures


@dataclass(frozen=True)
class Against:
    """What to compare with: `train` says what is novel, `test` and `test_scaffolds` what the set should be like."""

    train: Reference | None = None
    test: Reference | None = None
    test_scaffolds: Reference | None = None

    @property
    def neighbors(self) -> Reference | None:
        """Where the nearest neighbor of each molecule is looked for."""
        return self.train or self.test

    @property
    def references(self) -> list[Reference]:
        """All that there are."""
        return [found for found in (self.train, self.test, self.test_scaffolds) if found is not None]


class SetFigures:
    """Computes metrics of a set `against` others; `notes` say what is missing and why.

    `counts` are those of all rows that were read: read, valid, distinct, and novel where there is a training set.
    `compute_fcd`, `workers`, `device` and `random_state` as in `Scorer`.
    """

    def __init__(
        self, against: Against, *, compute_fcd: bool | None, workers: int | None, device: str, random_state: int
    ) -> None:
        self.against, self.compute_fcd, self.workers, self.device, self.random_state = (
            against,
            compute_fcd,
            workers,
            device,
            random_state,
        )
        self.notes: list[str] = []

    def moses(
        self, counts: Mapping[str, int], keys: NDArray[np.uint64], sample: pd.DataFrame, own: Structures, filters: bool
    ) -> dict[str, float | None]:
        """MOSES's, of `keys`, a number for each valid molecule in their order, and a `sample` with its structures.

        `filters`: whether it was asked for who passes them.
        """
        found: dict[str, float | None] = {"valid": share(counts["valid"], counts["read"])}
        for k in moses.UNIQUE_AT:
            found[f"unique@{k}"] = share(len(np.unique(keys[:k])), min(k, len(keys)))
        if self.against.train is not None:
            found["Novelty"] = share(counts["novel"], counts["distinct"])
        found |= dict.fromkeys(moses.DIVERSITY)
        if filters:
            found["Filters"] = mean(sample, "moses_filters")
        both = {"Test": self.against.test, "TestSF": self.against.test_scaffolds}
        references = {label: reference for label, reference in both.items() if reference is not None}
        found |= {f"{name}/{label}": None for label in references for name in moses.LIKENESS}
        if self.against.test is not None:
            found |= dict.fromkeys(moses.WASSERSTEIN.values())
        if not len(sample):
            return found
        found |= moses.diversity(own, self.workers)
        activations: fcd.Activations | None = None
        for label, reference in references.items():
            found |= moses.likeness(own, reference, label, self.workers, self.device)
            if found[f"Scaf/{label}"] is None:
                self._note(f"no Scaf/{label}: not both sets have scaffolds of two rings or more")
            if activations is None:  # one network pass for both
                activations = self._activations(sample)
            if activations is not None:
                found[f"FCD/{label}"] = self._distance(activations, reference)
        if self.against.test is not None:
            whole = sample.dropna(subset=list(moses.WASSERSTEIN))
            found |= moses.distances(whole, self.against.test) if len(whole) else {}
        return found

    def guacamol(self, counts: Mapping[str, int], sample: pd.DataFrame, train: Reference) -> dict[str, float | None]:
        """GuacaMol's, which compares with what was trained on."""
        if len(sample) > GUACAMOL_MOLECULES:  # not the first ones: rows may come in any order
            rows = np.random.default_rng(self.random_state).permutation(len(sample))[:GUACAMOL_MOLECULES]
            sample = sample.iloc[np.sort(rows)]
            self._note(f"GuacaMol's figures but validity are of {len(sample):,} of those, drawn at random")
        molecules = list(sample["canonical"])
        found: dict[str, float | None] = dict.fromkeys(guacamol.SCORES)
        found["validity"] = share(counts["valid"], counts["read"])
        if not molecules:
            return found
        columns = guacamol_columns(molecules, self.workers)
        flat = np.unique(hash_texts(without_stereo(molecules)))
        found["uniqueness"] = len(flat) / len(molecules)
        found["novelty"] = float((~among(flat, train.flat_keys)).mean())
        found["KL divergence"] = guacamol.kl_score(guacamol.kl_divergences(columns, train.guacamol))
        own = self._activations(sample)
        distance = None if own is None else self._distance(own, train, drawn=True)
        found["FCD score"] = None if distance is None else guacamol.fcd_score(distance)
        return found

    def _activations(self, sample: pd.DataFrame) -> fcd.Activations | None:
        """ChemNet's, of the set itself; None, and a note, where there are none."""
        if self.compute_fcd is False:
            return None
        try:
            return fcd.activations(sample["canonical"], device=self.device)
        except MissingExtraError as error:
            if self.compute_fcd:
                raise
            self._note(f"no FCD: {error}")
        except InputError as error:
            self._note(f"no FCD: {error}")
        return None

    def _distance(self, own: fcd.Activations, reference: Reference, drawn: bool = False) -> float | None:
        try:
            return fcd.distance(own, reference.guacamol_activations if drawn else reference.activations)
        except InputError as error:
            self._note(f"no FCD to {reference.name}: {error}")
        return None

    def finite(self, figures: dict[str, float | None]) -> dict[str, float | None]:
        """None for what is no finite number, and a note."""
        for name, value in figures.items():
            if value is not None and not isfinite(value):
                self._note(f"no {name}: it came out as {value}")
        return {name: None if value is None or not isfinite(value) else value for name, value in figures.items()}

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def averages(sample: pd.DataFrame) -> dict[str, float | None]:
    """The mean of each figure; of those that are yes or no the share of yes; of alerts the share without any."""
    found: dict[str, float | None] = {}
    for name in (name for name in COLUMNS if name in sample.columns):
        if name == "alerts":
            known = sample[name].dropna()
            found["no alerts"] = float((known == "").mean()) if len(known) else None
        elif name != "scaffold":
            values = pd.to_numeric(sample[name].astype(float), errors="coerce").dropna()
            found[f"mean {name}" if name not in ("lipinski", "veber", "moses_filters") else name] = (
                float(values.mean()) if len(values) else None
            )
    return found


def mean(sample: pd.DataFrame, name: str) -> float | None:
    values = sample[name].dropna() if name in sample else pd.Series(dtype=float)
    return float(values.astype(float).mean()) if len(values) else None


def share(part: int, whole: int) -> float | None:
    """None where there is no whole."""
    return part / whole if whole else None
