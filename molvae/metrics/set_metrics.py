"""Metrics of a set of molecules: accumulation over a stream of scored rows, and the MOSES and GuacaMol metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
import pandas as pd

from molvae.data.hashing import hash_texts
from molvae.errors import InputError, MissingExtraError
from molvae.metrics import fcd, guacamol, moses
from molvae.metrics.molecules import COLUMNS
from molvae.metrics.moses import Structures
from molvae.metrics.reference import SUBSET_SIZE, Hashes, Reference, guacamol_features, isin_sorted, without_stereo

MAX_INVALID_KEPT = 20
"""Maximum number of invalid rows that `SetAccumulator` keeps."""

Metrics = dict[str, float | None]
"""Value of each metric; None if it is undefined or was not computed."""


class SetAccumulator:
    """Counts, molecule hashes and a uniform random sample of a stream of scored rows.

    Memory grows by 8 bytes per valid row. The sample depends on `random_state` and on the order of the rows, not on
    how they are divided into tables.

    Parameters
    ----------
    sample_size : int
        Maximum number of valid rows in the sample, at least 1.
    random_state : int
        Random number seed of the sample.

    Raises
    ------
    InputError
        If `sample_size` is less than 1.
    """

    def __init__(self, sample_size: int, random_state: int) -> None:
        if sample_size < 1:
            raise InputError(f"sample_size must be at least 1, got {sample_size}")
        self.sample_size, self.random_state = sample_size, random_state
        self.n_read = self.n_valid = self.n_incomplete = 0
        self._rng = np.random.default_rng(random_state)
        self._hashes: list[Hashes] = []
        self._candidates: list[pd.DataFrame] = []
        self._invalid: list[pd.DataFrame] = []

    def add(self, rows: pd.DataFrame) -> None:
        """Add rows of a table from `molecules.build_table`, which may have additional columns."""
        is_valid = (rows["canonical"] != "").to_numpy()
        valid = rows[is_valid]
        self._hashes.append(hash_texts(valid["canonical"]))
        position = np.arange(self.n_valid, self.n_valid + len(valid))
        self._candidates.append(valid.assign(_position=position, _key=self._rng.random(len(valid))))
        if sum(map(len, self._candidates)) > 2 * self.sample_size:
            self._candidates = [_smallest_keys(self._candidates, self.sample_size)]
        if sum(map(len, self._invalid)) < MAX_INVALID_KEPT:
            self._invalid.append(rows[~is_valid].head(MAX_INVALID_KEPT))
        self.n_read += len(rows)
        self.n_valid += len(valid)
        self.n_incomplete += int((valid["error"] != "").sum())

    @property
    def n_invalid(self) -> int:
        """Number of invalid rows."""
        return self.n_read - self.n_valid

    def hashes(self) -> Hashes:
        """Return the hashes (`hash_texts`) of all valid rows, in order."""
        return np.concatenate(self._hashes) if self._hashes else np.empty(0, np.uint64)

    def sample(self) -> pd.DataFrame:
        """Return the sampled rows, in order."""
        if not self._candidates:
            return pd.DataFrame({"smiles": [], "error": [], "canonical": []}, dtype=object)
        sampled = _smallest_keys(self._candidates, self.sample_size).sort_values("_position", ignore_index=True)
        return sampled.drop(columns=["_position", "_key"])

    def first_invalid(self) -> pd.DataFrame:
        """Return the first invalid rows, at most `MAX_INVALID_KEPT`."""
        return pd.concat(self._invalid).head(MAX_INVALID_KEPT) if self._invalid else self.sample().head(0)


def _smallest_keys(parts: list[pd.DataFrame], size: int) -> pd.DataFrame:
    """Return the `size` rows with the smallest random keys: a uniform sample without replacement."""
    rows = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return rows if len(rows) <= size else rows.nsmallest(size, "_key")


@dataclass(frozen=True)
class ReferenceSets:
    """Reference sets: `train` defines novelty, and the test sets define the target distribution."""

    train: Reference | None = None
    test: Reference | None = None
    test_scaffolds: Reference | None = None

    @property
    def neighbors(self) -> Reference | None:
        """The set that is searched for the nearest neighbor of each molecule."""
        return self.train or self.test

    @property
    def available(self) -> list[Reference]:
        """The sets that are not None."""
        return [reference for reference in (self.train, self.test, self.test_scaffolds) if reference is not None]


class SetMetrics:
    """Computes the metrics of a set; `notes` explain missing values.

    Parameters
    ----------
    references : ReferenceSets
        Training and test sets.
    counts : mapping of str to int
        Counts over all rows: read, valid, distinct, and novel if there is a training set.
    sample : DataFrame
        The rows that the metrics are computed from.
    fcd : bool or None
        Whether to compute Fréchet ChemNet distances; None computes them if fcd_torch is installed.
    workers, device, random_state
        As in `molvae.score`.
    """

    def __init__(
        self,
        references: ReferenceSets,
        counts: Mapping[str, int],
        sample: pd.DataFrame,
        *,
        fcd: bool | None,
        workers: int | None,
        device: str,
        random_state: int,
    ) -> None:
        self.references, self.counts, self.sample = references, counts, sample
        self.with_fcd, self.workers, self.device, self.random_state = fcd, workers, device, random_state
        self.notes: list[str] = []

    def moses(self, hashes: Hashes, structures: Structures, with_filters: bool) -> Metrics:
        """Compute the MOSES metrics.

        Parameters
        ----------
        hashes : ndarray of uint64
            Hash of each valid molecule, in order.
        structures : Structures
            Structures of the sample.
        with_filters : bool
            Whether the sample has the column `moses_filters`.
        """
        counts, references, sample = self.counts, self.references, self.sample
        metrics: Metrics = {"valid": ratio(counts["valid"], counts["read"])}
        for k in moses.UNIQUE_AT:
            metrics[f"unique@{k}"] = ratio(len(np.unique(hashes[:k])), min(k, len(hashes)))
        if references.train is not None:
            metrics["Novelty"] = ratio(counts["novel"], counts["distinct"])
        metrics |= dict.fromkeys(moses.DIVERSITY_METRICS)
        if with_filters:
            metrics["Filters"] = column_mean(sample, "moses_filters")
        test_sets = {"Test": references.test, "TestSF": references.test_scaffolds}
        labeled = {label: reference for label, reference in test_sets.items() if reference is not None}
        metrics |= {f"{name}/{label}": None for label in labeled for name in moses.REFERENCE_METRICS}
        if references.test is not None:
            metrics |= dict.fromkeys(moses.WASSERSTEIN_METRICS.values())
        if not len(sample):
            return metrics
        metrics |= moses.internal_diversity(structures, self.workers)
        activations: fcd.ActivationStatistics | None = None
        for label, reference in labeled.items():
            metrics |= moses.similarity_to_reference(structures, reference, label, self.workers, self.device)
            if metrics[f"Scaf/{label}"] is None:
                self._note(f"no Scaf/{label}: one of the sets has no scaffold with two or more rings")
            if activations is None:  # one pass of the network for both test sets
                activations = self._activations(sample)
            if activations is not None:
                metrics[f"FCD/{label}"] = self._frechet_distance(activations, reference)
        if references.test is not None:
            complete = sample.dropna(subset=list(moses.WASSERSTEIN_METRICS))
            metrics |= moses.wasserstein_distances(complete, references.test) if len(complete) else {}
        return metrics

    def guacamol(self, train: Reference) -> Metrics:
        """Compute the GuacaMol scores, which compare with the training set."""
        sample = self.sample
        if len(sample) > SUBSET_SIZE:  # a random subset, because the input may be sorted
            rows = np.random.default_rng(self.random_state).permutation(len(sample))[:SUBSET_SIZE]
            sample = sample.iloc[np.sort(rows)]
            self._note(
                f"the GuacaMol scores except validity are computed from {len(sample):,} random molecules of these"
            )
        molecules = list(sample["canonical"])
        metrics: Metrics = dict.fromkeys(guacamol.SCORES)
        metrics["validity"] = ratio(self.counts["valid"], self.counts["read"])
        if not molecules:
            return metrics
        features = guacamol_features(molecules, self.workers)
        flat_hashes = np.unique(hash_texts(without_stereo(molecules)))
        metrics["uniqueness"] = len(flat_hashes) / len(molecules)
        metrics["novelty"] = float((~isin_sorted(flat_hashes, train.flat_hashes)).mean())
        metrics["KL divergence"] = guacamol.kl_score(guacamol.kl_divergences(features, train.guacamol_features))
        activations = self._activations(sample)
        distance = None if activations is None else self._frechet_distance(activations, train, subset=True)
        metrics["FCD score"] = None if distance is None else guacamol.fcd_score(distance)
        return metrics

    def _activations(self, sample: pd.DataFrame) -> fcd.ActivationStatistics | None:
        """Return the ChemNet statistics of the sample; None, with a note, if they cannot be computed."""
        if self.with_fcd is False:
            return None
        try:
            return fcd.activation_statistics(sample["canonical"], device=self.device)
        except MissingExtraError as error:
            if self.with_fcd:
                raise
            self._note(f"no FCD: {error}")
        except InputError as error:
            self._note(f"no FCD: {error}")
        return None

    def _frechet_distance(
        self, activations: fcd.ActivationStatistics, reference: Reference, subset: bool = False
    ) -> float | None:
        try:
            other = reference.subset_activations if subset else reference.activations
            return fcd.frechet_distance(activations, other)
        except InputError as error:
            self._note(f"no FCD to {reference.name}: {error}")
        return None

    def replace_non_finite(self, metrics: Metrics) -> Metrics:
        """Replace NaN and infinity by None, with a note."""
        for name, value in metrics.items():
            if value is not None and not isfinite(value):
                self._note(f"no {name}: its value is {value}")
        return {name: None if value is None or not isfinite(value) else value for name, value in metrics.items()}

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def molecule_averages(sample: pd.DataFrame) -> Metrics:
    """Average each column of the table of molecules.

    "mean NAME" is the mean of a numeric column, NAME the fraction of molecules that pass a rule, and "no alerts" the
    fraction of molecules without alerts.
    """
    metrics: Metrics = {}
    for name in (name for name in COLUMNS if name in sample.columns):
        if name == "alerts":
            known = sample[name].dropna()
            metrics["no alerts"] = float((known == "").mean()) if len(known) else None
        elif name not in ("scaffold", "flaws", "plausible"):  # the section Plausibility has the latter
            values = pd.to_numeric(sample[name].astype(float), errors="coerce").dropna()
            label = name if name in ("lipinski", "veber", "moses_filters") else f"mean {name}"
            metrics[label] = float(values.mean()) if len(values) else None
    return metrics


def column_mean(sample: pd.DataFrame, name: str) -> float | None:
    """Return the mean of a column without its missing values; None if there are no values."""
    values = sample[name].dropna() if name in sample else pd.Series(dtype=float)
    return float(values.astype(float).mean()) if len(values) else None


def ratio(part: int, total: int) -> float | None:
    """Return `part` / `total`; None if `total` is 0."""
    return part / total if total else None
