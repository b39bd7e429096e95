"""What is wanted of a molecule besides being an analog: patterns, scaffold, property windows, alerts, novelty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import Filters, alerts
from molvae.chem.fingerprints import morgan
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import parse, silence_rdkit, without_stereo
from molvae.data.parallel import SERIAL, WorkerPool
from molvae.errors import InputError

UNJUDGED = "a process that ended whenever it looked"
"""What rejects a molecule that no worker survives."""

SeenBefore = Callable[[Sequence[str]], Iterable[bool]]
Score = Callable[[Sequence[str]], Iterable[float]]


def scored(score: Score, name: str, molecules: Sequence[str]) -> NDArray[np.float64]:
    """What a score of the user's own gives, in whatever it comes: a number for each of the molecules.

    It is not asked of none. Raises `InputError` where it gives something else.
    """
    if not molecules:
        return np.zeros(0)
    given = score(list(molecules))  # what it raises itself is the user's to see
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"the score {name!r} has to give a number for each molecule: {error}") from error
    if values.shape != (len(molecules),):
        shape = " x ".join(map(str, values.shape)) or "one"
        raise InputError(f"the score {name!r} has to give a number for each of {len(molecules)} molecules, got {shape}")
    return values


@dataclass(frozen=True)
class Steering:
    """Wishes that every molecule has to meet; an empty one lets everything pass.

    `contains`, `without`: SMARTS that all have to, or none may, occur. `core`: what stays as it is, as of `has_core`.
    `scaffold`: keep the seed's scaffold.
    `exclude_stereoisomers`: nothing that is the seed but for its stereo.
    `exclude`: sets of alerts ("PAINS", "BRENK", "NIH") of which a molecule may have none that the seed lacks.
    `seen`: says which molecules are known already; only the others pass. `scores`: figures of the user's own, of
    SMILES, which windows may name; they are asked last, and in this process.
    """

    windows: tuple[PropertyFilter, ...] = ()
    contains: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    core: str | None = None
    scaffold: bool = False
    exclude_stereoisomers: bool = False
    exclude: tuple[str, ...] = ()
    seen: SeenBefore | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self.filters  # a pattern, and below a name, that cannot be used is an error now
        alerts(parse("C"), self.exclude)

    @property
    def filters(self) -> Filters:
        """The wishes that have nothing to do with the seed."""
        windows = tuple(window for window in self.windows if window.name not in self.scores)
        return Filters(windows, self.contains, self.without, self.core)

    @property
    def own_windows(self) -> list[PropertyFilter]:
        """Those of scores."""
        return [window for window in self.windows if window.name in self.scores]

    @property
    def idle(self) -> bool:
        """Whether it lets everything pass."""
        return not (
            self.windows or self.filters or self.scaffold or self.exclude_stereoisomers or self.exclude or self.seen
        )

    def accept(self, seed: str, molecules: Sequence[str]) -> list[str]:
        """Those of `molecules` that meet every wish."""
        return [molecule for molecule, invalid_row in self.ask(seed, molecules, SERIAL)().items() if not invalid_row]

    def ask(self, seed: str, molecules: Sequence[str], workers: WorkerPool) -> Callable[[], dict[str, str]]:
        """For each of different molecules the first wish that it does not meet, "" where it meets all.

        Asked by `workers`: what is returned waits for their answer. What is quick to tell is asked first.
        """
        known = self.seen(molecules) if self.seen and molecules else [False] * len(molecules)
        old = {molecule: "novel only" for molecule, seen in zip(molecules, known, strict=True) if seen}
        new = [molecule for molecule in molecules if molecule not in old]
        scaffold = murcko_smiles(parse(seed)) if self.scaffold else None
        spared = frozenset(alerts(parse(seed), self.exclude)) if self.exclude and seed else frozenset()
        flat = without_stereo(parse(seed)) if self.exclude_stereoisomers and seed else None
        answer = workers.submit(Judge(self.filters, scaffold, flat, self.exclude, spared), new)

        def invalid_rows() -> dict[str, str]:
            judged = zip(new, answer.result(), strict=True)
            told = {molecule: UNJUDGED if invalid_row is None else invalid_row for molecule, invalid_row in judged}
            for window in self.own_windows:
                left = [molecule for molecule, invalid_row in told.items() if not invalid_row]
                values = scored(self.scores[window.name], window.name, left).tolist()
                told |= {one: str(window) for one, x in zip(left, values, strict=True) if not window.accepts(x)}
            return old | told

        return invalid_rows


@dataclass(frozen=True)
class Judge:
    """The wishes as they are for one seed. Travels to worker processes.

    `scaffold` is the seed's, where it is to be kept, `flat` the seed without stereo, where nothing else of that kind
    may pass; `spared` are alerts that the seed has.
    """

    filters: Filters
    scaffold: str | None
    flat: str | None
    exclude: tuple[str, ...]
    spared: frozenset[str]

    def __call__(self, molecules: Sequence[str]) -> list[str]:
        with silence_rdkit():
            return [self._invalid_row(parse(molecule)) for molecule in molecules]

    def _invalid_row(self, mol: Chem.Mol) -> str:
        if invalid_row := self.filters.first_failed(mol):
            return invalid_row
        if self.scaffold is not None and murcko_smiles(mol) != self.scaffold:
            return "keep the scaffold"
        if self.flat is not None and without_stereo(mol) == self.flat:
            return "no isomers"
        if self.exclude and set(alerts(mol, self.exclude)) - self.spared:
            return f"exclude {', '.join(self.exclude)}"
        return ""


def diverse(molecules: Sequence[str], count: int, best: int = 3) -> list[int]:
    """Places of `count` molecules unlike each other, the first among them, out of the first `best` times as many.

    MaxMin (Ashton et al. 2002): each pick is the one whose nearest pick is farthest, by Tanimoto. Places ascend.
    Raises `InputError` for a count below 1.
    """
    if count < 1:
        raise InputError(f"a diverse pick is of 1 molecule or more, got {count}")
    pool = [morgan(parse(molecule)) for molecule in molecules[: best * count]]
    if len(pool) <= count:
        return list(range(len(pool)))
    return sorted(MaxMinPicker().LazyBitVectorPick(pool, len(pool), count, firstPicks=[0]))
