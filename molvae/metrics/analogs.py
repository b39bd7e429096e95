"""Metrics of proposed analogs, per seed and over all seeds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit.DataStructs import ExplicitBitVect

from molvae.chem.filters import alerts
from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.properties import compute_properties
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.standardization import fingerprint_mol, prepare
from molvae.data.hashing import hash_text, hash_texts
from molvae.errors import InputError, MoleculeError
from molvae.metrics.set_metrics import Metrics, ratio

INPUT_COLUMNS = ("seed", "canonical", "not_in_training", "sa", "alerts", "plausible")
COUNT_COLUMNS = ("proposed", "valid", "distinct", "effective", "usable_count")
METRIC_COLUMNS = (
    *("validity", "uniqueness", "novelty", "non_identity", "effective_novelty", "usable"),
    *("similarity_mean", "similarity_q1", "similarity_median", "similarity_q3"),
    *("frac_similarity_ge_0.4", "frac_similarity_ge_0.6", "scaffold_retention", "internal_diversity"),
)
COLUMNS = ("seed", "error", *COUNT_COLUMNS, *METRIC_COLUMNS)
"""Columns of `AnalogMetrics.per_seed`."""

USABLE_SIMILARITY = 0.4
"""Minimum Tanimoto similarity of a usable molecule to its seed."""

USABLE_SA_INCREASE = 0.5
"""Maximum difference of the SA scores of a usable molecule and its seed; a higher score is harder to synthesize."""

DIVERSITY_SAMPLE_SIZE = 128
"""Maximum number of molecules per seed for the internal diversity: 8128 pairs."""

MAX_SIMILARITIES = 10_000
"""Maximum number of values that `AnalogMetrics.similarities` returns."""

_THRESHOLDS = {"frac_similarity_ge_0.4": 0.4, "frac_similarity_ge_0.6": 0.6}


class AnalogMetrics:
    """Metrics of analogs, accumulated over tables of rows. The division of the rows into tables does not matter.

    For a seed with n proposed rows, duplicates included:

    ======================  ===========================================================================
    validity                valid rows / n; a `canonical` that cannot be parsed is invalid
    uniqueness              distinct molecules / valid rows
    novelty                 distinct molecules not in the training set / distinct molecules; None if unknown for any
    non_identity            rows other than the seed itself / valid rows; a stereoisomer differs from the seed
    effective_novelty       effective molecules / n: distinct, not the seed, and not known to be in the training set
    usable                  usable molecules / n: effective, Tanimoto similarity at least 0.4, SA score at most 0.5
                            above that of the seed, no PAINS or BRENK alert that the seed does not have, and plausible:
                            no unprecedented ring system or atom environment and no unstable group that the seed does
                            not have
    similarity_*            mean, quartiles q1 and q3, and median of the Tanimoto similarity of the distinct molecules
                            other than the seed
    frac_similarity_ge_X    fraction of these molecules with a similarity of at least X
    scaffold_retention      fraction of these molecules with the Bemis-Murcko scaffold of the seed; acyclic molecules
                            share the empty scaffold
    internal_diversity      1 - mean Tanimoto similarity of all pairs of distinct molecules, including the seed if it
                            was proposed; of a pseudo-random sample of 128 if there are more
    ======================  ===========================================================================

    A metric whose denominator is 0 is None. Similarities are of Morgan fingerprints, radius 2, 2048 bits. Seeds are
    identified by their text: two SMILES of the same molecule are two seeds. Memory: 12 bytes per distinct molecule,
    and about 12 kB per seed for the fingerprints of the diversity sample.
    """

    def __init__(self) -> None:
        self._seeds: dict[str, _SeedAccumulator] = {}

    def add(self, rows: pd.DataFrame) -> None:
        """Add a table with one row per proposed analog.

        Parameters
        ----------
        rows : DataFrame
            Must have the columns `INPUT_COLUMNS`; others are ignored.

            - seed: SMILES of the seed.
            - canonical: canonical isomeric SMILES of the analog; "" or missing if invalid.
            - not_in_training: True, False, or missing if unknown.
            - sa: synthetic accessibility score; NaN if unknown, in which case the molecule is not usable.
            - alerts: "SET: name", as a list or joined by ";"; missing if there are none. Sets other than PAINS and
              BRENK are ignored.
            - plausible: whether the molecule has no flaw that the seed does not have (`molvae.chem.plausibility`);
              missing if unknown, in which case the molecule is not usable.

            If a molecule occurs repeatedly for a seed, the values of its first row are used.

        Raises
        ------
        InputError
            For a missing column or a value of the wrong type; none of the rows is added.
        """
        by_seed: defaultdict[str, list[_Row]] = defaultdict(list)
        for seed, row in _read_rows(rows):
            by_seed[seed].append(row)
        with silence_rdkit():
            for seed, seed_rows in by_seed.items():
                if seed not in self._seeds:
                    self._seeds[seed] = _SeedAccumulator(seed)
                self._seeds[seed].add(seed_rows)

    def per_seed(self) -> pd.DataFrame:
        """Return a row per seed with the columns `COLUMNS`, in order of first occurrence.

        `error` is "" for a valid seed. For an invalid one it is the reason, and all values but `proposed` are None.
        The columns have the type object, so that None is not converted to NaN.
        """
        rows = [{"seed": smiles, **seed.table_row()} for smiles, seed in self._seeds.items()]
        return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)

    def invalid_seeds(self) -> dict[str, str]:
        """Return the invalid seeds, each with the reason."""
        return {smiles: seed.error for smiles, seed in self._seeds.items() if seed.error}

    def overall(self) -> Metrics:
        """Return counts and metrics over all valid seeds.

        Returns
        -------
        dict of str to float or None
            - seeds: number of valid seeds.
            - seeds_failed, rows_failed: invalid seeds and their rows, which are excluded from everything else.
            - `COUNT_COLUMNS`: sums over the seeds.
            - `METRIC_COLUMNS` except internal_diversity: computed from the pooled rows and molecules, so that a seed
              counts by its number of rows; a molecule counts once for each of its seeds.
            - NAME_per_seed for each of `METRIC_COLUMNS`: mean over the seeds for which it is defined.
        """
        valid = [seed for seed in self._seeds.values() if not seed.error]
        invalid = [seed for seed in self._seeds.values() if seed.error]
        counts = sum((seed.counts for seed in valid), Counter[str]())
        per_seed = [seed.metrics() for seed in valid]
        return {
            "seeds": len(valid),
            "seeds_failed": len(invalid),
            "rows_failed": sum(seed.counts["proposed"] for seed in invalid),
            **{name: counts[name] for name in COUNT_COLUMNS},
            **_metrics(counts, self._all_similarities()),
            **{f"{name}_per_seed": _mean([metrics[name] for metrics in per_seed]) for name in METRIC_COLUMNS},
        }

    def similarities(self) -> NDArray[np.float64]:
        """Return the similarities to the seed of the distinct molecules other than the seed, of all seeds, sorted.

        Of more than 10,000 values, those at 10,000 evenly spaced ranks are returned, including minimum and maximum.
        """
        pooled = np.sort(self._all_similarities())
        if len(pooled) <= MAX_SIMILARITIES:
            return pooled
        return pooled[np.linspace(0, len(pooled) - 1, MAX_SIMILARITIES).round().astype(np.int64)]

    def _all_similarities(self) -> NDArray[np.float64]:
        return np.concatenate([np.empty(0), *(seed.similarities() for seed in self._seeds.values())])


class _Row(NamedTuple):
    canonical: str  # "" if invalid
    not_in_training: bool | None
    sa: float
    alerts: frozenset[str]
    plausible: bool


def _read_rows(rows: pd.DataFrame) -> Iterator[tuple[str, _Row]]:
    """Yield the seed and the values of each row. Raises `InputError`."""
    if missing := [name for name in INPUT_COLUMNS if name not in rows.columns]:
        raise InputError(f"missing column {', '.join(missing)}: analogs need the columns {', '.join(INPUT_COLUMNS)}")
    try:
        sa = pd.to_numeric(rows["sa"]).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"column 'sa' must contain numbers: {error}") from error
    texts = [[v if isinstance(v, str) else "" for v in rows[name]] for name in ("seed", "canonical")]
    known = rows["not_in_training"].notna()
    not_in_training = [_as_bool(v) if k else None for v, k in zip(rows["not_in_training"], known, strict=True)]
    alert_names = map(_alert_names, rows["alerts"])
    plausible = [not pd.isna(value) and _as_bool(value, "plausible") for value in rows["plausible"]]
    for seed, canonical, *values in zip(*texts, not_in_training, sa.tolist(), alert_names, plausible, strict=True):
        yield seed, _Row(canonical, *values)


def _as_bool(value: object, column: str = "not_in_training") -> bool:
    if value not in (0, 1):  # True == 1 and False == 0
        raise InputError(f"column {column!r} must contain True, False or missing values, got {value!r}")
    return bool(value)


def _alert_names(value: Any) -> frozenset[str]:
    """Return the PAINS and BRENK alerts of a cell; set names are uppercase, because RDKit writes "Brenk"."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return frozenset()
    if not isinstance(value, Iterable):
        raise InputError(f"column 'alerts' must contain lists or text, got {value!r}")
    parts = [str(part).partition(":") for part in (value.split(";") if isinstance(value, str) else value)]
    named = {(group.strip().upper(), name.strip()) for group, _, name in parts}
    return frozenset(f"{group}: {name}" for group, name in named if group.startswith(("PAINS", "BRENK")))


@dataclass(frozen=True)
class _SeedMolecule:
    """Properties of a seed that its analogs are compared with."""

    canonical: str
    fingerprint: ExplicitBitVect
    scaffold: str
    sa: float
    alerts: frozenset[str]

    @classmethod
    def from_smiles(cls, smiles: str) -> _SeedMolecule:
        """Compute the properties. Raises `MoleculeError` for an invalid SMILES."""
        mol, canonical, _ = prepare(smiles)
        sa = float(compute_properties([mol], ["sa"])["sa"][0])
        return cls(
            canonical, morgan(fingerprint_mol(mol, canonical)), murcko_smiles(mol), sa, _alert_names(alerts(mol))
        )


class _Molecule(NamedTuple):
    """A distinct molecule proposed for a seed."""

    key: int  # 64-bit hash of the canonical SMILES
    fingerprint: bytes  # RDKit's binary format, a fifth of the size of the packed bits
    similarity: float  # to the seed; NaN for the seed itself
    counted_as: tuple[str, ...]  # names of the counts that it increments


class _SeedAccumulator:
    """Counts of one seed; hashes, similarities and a sample of fingerprints of its distinct molecules, by hash."""

    def __init__(self, smiles: str) -> None:
        self.counts = Counter[str]()
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._similarity: NDArray[np.float32] = np.empty(0, np.float32)
        self._fingerprints: list[bytes] = []  # of the molecules with the smallest hashes: a pseudo-random sample
        self._seed: _SeedMolecule | None = None
        self.error = ""
        try:
            self._seed = _SeedMolecule.from_smiles(smiles)
        except MoleculeError as error:
            self.error = str(error)

    def add(self, rows: Sequence[_Row]) -> None:
        """Add rows of this seed."""
        self.counts["proposed"] += len(rows)
        if self._seed is None:
            return
        first = {row.canonical: row for row in reversed(rows) if row.canonical}
        is_known = np.isin(hash_texts(first), self._keys)
        valid_smiles = {text for text, known in zip(first, is_known, strict=True) if known}
        new = []
        for text in first.keys() - valid_smiles:
            if molecule := _compare_with_seed(first[text], self._seed):
                valid_smiles.add(text)
                new.append(molecule)
        valid = [row.canonical for row in rows if row.canonical in valid_smiles]
        self.counts["valid"] += len(valid)
        self.counts["not_seed"] += sum(text != self._seed.canonical for text in valid)
        self._insert(new)

    def _insert(self, new: list[_Molecule]) -> None:
        for molecule in new:
            self.counts.update(molecule.counted_as)
        fingerprints = dict(enumerate(self._fingerprints))
        fingerprints |= {len(self._keys) + i: molecule.fingerprint for i, molecule in enumerate(new)}
        keys = np.concatenate([self._keys, np.array([m.key for m in new], np.uint64)])
        similarity = np.concatenate([self._similarity, np.array([m.similarity for m in new], np.float32)])
        order = np.argsort(keys)
        self._keys, self._similarity = keys[order], similarity[order]
        self._fingerprints = [fingerprints[i] for i in order[:DIVERSITY_SAMPLE_SIZE].tolist()]

    def similarities(self) -> NDArray[np.float64]:
        """Return the similarities to the seed of the distinct molecules other than the seed."""
        return self._similarity[~np.isnan(self._similarity)].astype(np.float64)

    def metrics(self) -> Metrics:
        """Return `METRIC_COLUMNS` of this seed."""
        metrics = _metrics(self.counts, self.similarities())
        return metrics | {"internal_diversity": _internal_diversity(self._fingerprints)}

    def table_row(self) -> dict[str, float | str | None]:
        """Return the row of this seed in `AnalogMetrics.per_seed`."""
        if self.error:
            empty = dict.fromkeys((*COUNT_COLUMNS, *METRIC_COLUMNS))
            return {**empty, "error": self.error, "proposed": self.counts["proposed"]}
        return {"error": "", **{name: self.counts[name] for name in COUNT_COLUMNS}, **self.metrics()}


def _compare_with_seed(row: _Row, seed: _SeedMolecule) -> _Molecule | None:
    """Classify a molecule that is new for this seed; None if RDKit cannot handle it."""
    try:
        mol = parse(row.canonical)
        scaffold = murcko_smiles(mol)
    except MoleculeError:
        return None
    fingerprint, key = morgan(mol), int.from_bytes(hash_text(row.canonical), "little")
    counted_as = ["distinct"]
    if row.not_in_training is not None:
        counted_as.append("novelty_known")
    if row.not_in_training:
        counted_as.append("novel")
    if row.canonical == seed.canonical:
        return _Molecule(key, fingerprint.ToBinary(), np.nan, tuple(counted_as))
    similarity = float(tanimoto(seed.fingerprint, [fingerprint])[0])
    counted_as += ["others", *(name for name, threshold in _THRESHOLDS.items() if similarity >= threshold)]
    if scaffold == seed.scaffold:
        counted_as.append("same_scaffold")
    if row.not_in_training is not False:
        counted_as.append("effective")
        is_accessible = row.sa <= seed.sa + USABLE_SA_INCREASE
        if similarity >= USABLE_SIMILARITY and is_accessible and row.alerts <= seed.alerts and row.plausible:
            counted_as.append("usable_count")
    return _Molecule(key, fingerprint.ToBinary(), similarity, tuple(counted_as))


def _metrics(counts: Counter[str], similarities: NDArray[np.float64]) -> Metrics:
    """Compute `METRIC_COLUMNS` except internal_diversity, for one seed or for the pooled counts of several."""
    all_known = counts["novelty_known"] == counts["distinct"]
    return {
        "validity": ratio(counts["valid"], counts["proposed"]),
        "uniqueness": ratio(counts["distinct"], counts["valid"]),
        "novelty": ratio(counts["novel"], counts["distinct"]) if all_known else None,
        "non_identity": ratio(counts["not_seed"], counts["valid"]),
        "effective_novelty": ratio(counts["effective"], counts["proposed"]),
        "usable": ratio(counts["usable_count"], counts["proposed"]),
        **_mean_and_quartiles(similarities),
        **{name: ratio(counts[name], counts["others"]) for name in _THRESHOLDS},
        "scaffold_retention": ratio(counts["same_scaffold"], counts["others"]),
    }


def _mean_and_quartiles(similarities: NDArray[np.float64]) -> Metrics:
    names = ("similarity_mean", "similarity_q1", "similarity_median", "similarity_q3")
    if not len(similarities):
        return dict.fromkeys(names)
    values = [similarities.mean(), *np.quantile(similarities, [0.25, 0.5, 0.75])]
    return dict(zip(names, map(float, values), strict=True))


def _internal_diversity(fingerprints: Sequence[bytes]) -> float | None:
    if len(fingerprints) < 2:
        return None
    vectors = [ExplicitBitVect(binary) for binary in fingerprints]  # type: ignore[call-overload]
    pairs = np.concatenate([tanimoto(vector, vectors[:i]) for i, vector in enumerate(vectors)])
    return 1 - float(pairs.mean())


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
