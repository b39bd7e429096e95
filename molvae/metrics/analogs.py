"""What proposed analogs are worth, seed by seed and over all, from rows that are scored molecule by molecule.

Rows come in chunks, those of a seed in any of them; how they are cut changes no figure. A seed keeps 12 bytes a
distinct molecule, to know it again, and some 12 kB of fingerprints at most, for its diversity.
"""

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
from molvae.chem.smiles import parse, silence_rdkit, write
from molvae.data.hashing import hash_text, hash_texts
from molvae.errors import InputError, MoleculeError
from molvae.metrics.set_metrics import share

INPUT = ("seed", "canonical", "not_in_training", "sa", "alerts")
COUNTS = ("proposed", "valid", "distinct", "effective", "usable_count")
FIGURES = (
    "validity", "uniqueness", "novelty", "non_identity", "effective_novelty", "usable",
    "similarity_mean", "similarity_q1", "similarity_median", "similarity_q3", "frac_similarity_ge_0.4", "frac_similarity_ge_0.6",
    "scaffold_retention", "internal_diversity",
)  # fmt: skip
COLUMNS = ("seed", "error", *COUNTS, *FIGURES)
"""Of `AnalogScores.per_seed`, in order."""

USABLE_SIMILARITY = 0.4
USABLE_SA = 0.5
"""How much harder to make than its seed a usable molecule may be, in points of SA."""
DIVERSITY_SAMPLE = 128
"""Molecules of a seed at most that its diversity is measured on: 8128 pairs."""
SIMILARITY_SAMPLE = 10_000

_THRESHOLDS = {"frac_similarity_ge_0.4": 0.4, "frac_similarity_ge_0.6": 0.6}


class AnalogScores:
    """Scores of analogs, n proposed rows a seed, duplicates counted. Two spellings of a seed are two seeds.

    validity             valid rows / n; a `canonical` that cannot be read is not valid
    uniqueness           distinct molecules / valid rows
    novelty              novel ones / distinct molecules; None if that of any is unknown
    non_identity         rows that are not the seed itself / valid rows; a stereoisomer is not the seed
    effective_novelty    effective molecules / n: distinct, not the seed, and novel or of unknown novelty
    usable               effective molecules with a similarity of 0.4 or more, SA at most 0.5 above the seed's
                         and no PAINS or BRENK alert that the seed lacks / n
    similarity_*         mean, q1, median, q3 of Tanimoto to the seed, over distinct molecules other than the seed
    frac_similarity_ge_0.4, _0_6   shares of those at that similarity or more
    scaffold_retention        share of those with the seed's Bemis-Murcko scaffold; acyclic ones share the empty one
    internal_diversity   1 - mean Tanimoto over pairs of distinct molecules, the seed included where proposed;
                         beyond 128 molecules over 128 chosen by hash, blind to order and chunks

    Tanimoto is of Morgan fingerprints, radius 2, 2048 bits. A figure whose denominator is empty is None.
    """

    def __init__(self) -> None:
        self._seeds: dict[str, _Seed] = {}

    def add(self, rows: pd.DataFrame) -> None:
        """Count a chunk, a row each proposed analog; other columns are ignored.

        seed: SMILES as given. canonical: canonical isomeric SMILES, "" or missing where invalid.
        not_in_training: True, False, or missing where unknown. sa: float, NaN where invalid (and never usable).
        alerts: "set: name", as a list or joined by ";", missing for none; sets but PAINS and BRENK are ignored.
        Of a molecule that a seed has more than once, the first row's values hold.

        Raises `InputError` for a missing column or a value of another kind, and then counts none of the rows.
        """
        groups: defaultdict[str, list[_Row]] = defaultdict(list)
        for seed, row in _read(rows):
            groups[seed].append(row)
        with silence_rdkit():
            for seed, group in groups.items():
                if seed not in self._seeds:
                    self._seeds[seed] = _Seed(seed)
                self._seeds[seed].add(group)

    def per_seed(self) -> pd.DataFrame:
        """A row a seed, in order of first sight: `COLUMNS`, of type object, so that None stays None.

        `error` is "" for a seed that is a molecule. For another it says why; of its figures only `proposed` is set.
        """
        rows = [{"seed": smiles, **seed.table_row()} for smiles, seed in self._seeds.items()]
        return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)

    def failed(self) -> dict[str, str]:
        """The seeds that are no molecules, and why."""
        return {smiles: seed.error for smiles, seed in self._seeds.items() if seed.error}

    def overall(self) -> dict[str, float | None]:
        """All seeds that are molecules: their number, then `COUNTS` and `FIGURES` over all their rows together.

        Pooled, a seed weighs by its rows, or by its molecules where those are the denominator; a molecule counts
        once for each seed that has it. Each figure called NAME is also there as NAME_per_seed: the mean over the
        seeds that have it, each weighing the same. `internal_diversity` has no pooled meaning, so only as that.
        `seeds_failed` and `rows_failed` count the seeds that are no molecules, and their rows, which are in
        nothing else.
        """
        good = [seed for seed in self._seeds.values() if not seed.error]
        bad = [seed for seed in self._seeds.values() if seed.error]
        counts = sum((seed.counts for seed in good), Counter[str]())
        each = [seed.figures() for seed in good]
        return {
            "seeds": len(good),
            "seeds_failed": len(bad),
            "rows_failed": sum(seed.counts["proposed"] for seed in bad),
            **{name: counts[name] for name in COUNTS},
            **_figures(counts, self._similarities()),
            **{f"{name}_per_seed": _mean([figures[name] for figures in each]) for name in FIGURES},
        }

    def similarities(self) -> NDArray[np.float64]:
        """Tanimoto to the seed of all distinct molecules other than the seed, pooled over seeds, ascending.

        At most 10,000 values: of more, those at evenly spaced ranks, least and greatest included, which keeps
        every quantile to 0.01 % and depends on no draw.
        """
        pooled = np.sort(self._similarities())
        if len(pooled) <= SIMILARITY_SAMPLE:
            return pooled
        return pooled[np.linspace(0, len(pooled) - 1, SIMILARITY_SAMPLE).round().astype(np.int64)]

    def _similarities(self) -> NDArray[np.float64]:
        return np.concatenate([np.empty(0), *(seed.similarities() for seed in self._seeds.values())])


class _Row(NamedTuple):
    canonical: str  # "" where invalid
    novel: bool | None
    sa: float
    alerts: frozenset[str]


def _read(rows: pd.DataFrame) -> Iterator[tuple[str, _Row]]:
    """The seed and the values of each row. Raises `InputError`."""
    if missing := [name for name in INPUT if name not in rows.columns]:
        raise InputError(f"rows of analogs need the columns {', '.join(INPUT)}; there is no {', '.join(missing)}")
    try:
        sa = pd.to_numeric(rows["sa"]).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"column 'sa' must hold numbers: {error}") from error
    texts = [[v if isinstance(v, str) else "" for v in rows[name]] for name in ("seed", "canonical")]
    novel = [
        _flag(v) if known else None
        for v, known in zip(rows["not_in_training"], rows["not_in_training"].notna(), strict=True)
    ]
    names = map(_alert_names, rows["alerts"])
    for seed, canonical, *values in zip(*texts, novel, sa.tolist(), names, strict=True):
        yield seed, _Row(canonical, *values)


def _flag(value: object) -> bool:
    if value not in (0, 1):  # as which True and False compare too
        raise InputError(f"column 'not_in_training' must hold True, False or nothing, got {value!r}")
    return bool(value)


def _alert_names(value: Any) -> frozenset[str]:
    """The PAINS and BRENK alerts of a cell, their sets in capitals: RDKit writes Brenk, others BRENK."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return frozenset()
    if not isinstance(value, Iterable):
        raise InputError(f"column 'alerts' must hold lists or text, got {value!r}")
    parts = [str(part).partition(":") for part in (value.split(";") if isinstance(value, str) else value)]
    named = {(group.strip().upper(), name.strip()) for group, _, name in parts}
    return frozenset(f"{group}: {name}" for group, name in named if group.startswith(("PAINS", "BRENK")))


@dataclass(frozen=True)
class _Reference:
    """What the analogs of a seed are compared with."""

    canonical: str
    fingerprint: ExplicitBitVect
    scaffold: str
    sa: float
    alerts: frozenset[str]

    @classmethod
    def of(cls, smiles: str) -> _Reference:
        """Raises `MoleculeError`."""
        mol = parse(smiles)
        sa = float(compute_properties([mol], ["sa"])["sa"][0])
        return cls(write(mol), morgan(mol), murcko_smiles(mol), sa, _alert_names(alerts(mol)))


class _Molecule(NamedTuple):
    """A distinct molecule of a seed."""

    key: int
    fingerprint: bytes  # RDKit's binary form, a fifth of the packed bits
    similarity: float  # to the seed; NaN for the seed itself
    marks: tuple[str, ...]  # the counts that it adds one to


class _Seed:
    """What is kept of a seed: counts, and of its distinct molecules, by ascending key, what later rows need."""

    def __init__(self, smiles: str) -> None:
        self.counts = Counter[str]()
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._similarity: NDArray[np.float32] = np.empty(0, np.float32)
        self._fingerprints: list[bytes] = []  # of the first keys only
        self._reference: _Reference | None = None
        self.error = ""
        try:
            self._reference = _Reference.of(smiles)
        except MoleculeError as error:
            self.error = str(error)

    def add(self, rows: Sequence[_Row]) -> None:
        self.counts["proposed"] += len(rows)
        if self._reference is None:
            return
        first = {row.canonical: row for row in reversed(rows) if row.canonical}
        known = np.isin(hash_texts(first), self._keys)
        readable = {text for text, old in zip(first, known, strict=True) if old}
        fresh = []
        for text in first.keys() - readable:
            if molecule := _measure(first[text], self._reference):
                readable.add(text)
                fresh.append(molecule)
        valid = [row.canonical for row in rows if row.canonical in readable]
        self.counts["valid"] += len(valid)
        self.counts["not_seed"] += sum(text != self._reference.canonical for text in valid)
        self._insert(fresh)

    def _insert(self, fresh: list[_Molecule]) -> None:
        for molecule in fresh:
            self.counts.update(molecule.marks)
        held = dict(enumerate(self._fingerprints))
        held |= {len(self._keys) + i: molecule.fingerprint for i, molecule in enumerate(fresh)}
        keys = np.concatenate([self._keys, np.array([m.key for m in fresh], np.uint64)])
        similarity = np.concatenate([self._similarity, np.array([m.similarity for m in fresh], np.float32)])
        order = np.argsort(keys)
        self._keys, self._similarity = keys[order], similarity[order]
        self._fingerprints = [held[i] for i in order[:DIVERSITY_SAMPLE].tolist()]

    def similarities(self) -> NDArray[np.float64]:
        """To the seed, of distinct molecules other than it."""
        return self._similarity[~np.isnan(self._similarity)].astype(np.float64)

    def figures(self) -> dict[str, float | None]:
        figures = _figures(self.counts, self.similarities())
        return figures | {"internal_diversity": _diversity(self._fingerprints)}

    def table_row(self) -> dict[str, float | str | None]:
        if self.error:
            empty = dict.fromkeys((*COUNTS, *FIGURES))
            return {**empty, "error": self.error, "proposed": self.counts["proposed"]}
        return {"error": "", **{name: self.counts[name] for name in COUNTS}, **self.figures()}


def _measure(row: _Row, seed: _Reference) -> _Molecule | None:
    """A molecule seen for the first time, or None for one that RDKit cannot read."""
    try:
        mol = parse(row.canonical)
    except MoleculeError:
        return None
    fingerprint, key = morgan(mol), int.from_bytes(hash_text(row.canonical), "little")
    marks = ["distinct", *(["known"] if row.novel is not None else []), *(["novel"] if row.novel else [])]
    if row.canonical == seed.canonical:
        return _Molecule(key, fingerprint.ToBinary(), np.nan, tuple(marks))
    similarity = float(tanimoto(seed.fingerprint, [fingerprint])[0])
    marks += ["others", *(name for name, least in _THRESHOLDS.items() if similarity >= least)]
    if murcko_smiles(mol) == seed.scaffold:
        marks.append("scaffold")
    if row.novel is not False:
        marks.append("effective")
        if similarity >= USABLE_SIMILARITY and row.sa <= seed.sa + USABLE_SA and row.alerts <= seed.alerts:
            marks.append("usable_count")
    return _Molecule(key, fingerprint.ToBinary(), similarity, tuple(marks))


def _figures(counts: Counter[str], similarities: NDArray[np.float64]) -> dict[str, float | None]:
    """`FIGURES` but for the diversity, of a seed or of many."""
    known = counts["known"] == counts["distinct"]
    return {
        "validity": share(counts["valid"], counts["proposed"]),
        "uniqueness": share(counts["distinct"], counts["valid"]),
        "novelty": share(counts["novel"], counts["distinct"]) if known else None,
        "non_identity": share(counts["not_seed"], counts["valid"]),
        "effective_novelty": share(counts["effective"], counts["proposed"]),
        "usable": share(counts["usable_count"], counts["proposed"]),
        **_spread(similarities),
        **{name: share(counts[name], counts["others"]) for name in _THRESHOLDS},
        "scaffold_retention": share(counts["scaffold"], counts["others"]),
    }


def _spread(similarities: NDArray[np.float64]) -> dict[str, float | None]:
    names = ("similarity_mean", "similarity_q1", "similarity_median", "similarity_q3")
    if not len(similarities):
        return dict.fromkeys(names)
    values = [similarities.mean(), *np.quantile(similarities, [0.25, 0.5, 0.75])]
    return dict(zip(names, map(float, values), strict=True))


def _diversity(fingerprints: Sequence[bytes]) -> float | None:
    if len(fingerprints) < 2:
        return None
    vectors = [ExplicitBitVect(binary) for binary in fingerprints]  # type: ignore[call-overload]
    pairs = np.concatenate([tanimoto(vector, vectors[:i]) for i, vector in enumerate(vectors)])
    return 1 - float(pairs.mean())


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
