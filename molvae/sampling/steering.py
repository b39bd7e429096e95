"""What is wanted of a molecule besides being an analog: patterns, scaffold, property windows, alerts, novelty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rdkit import Chem
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

from molvae.chem.filters import alerts, has_substructure
from molvae.chem.fingerprints import morgan
from molvae.chem.properties import lookup
from molvae.chem.scaffolds import murcko
from molvae.chem.smiles import parse, quiet
from molvae.chem.windows import Window
from molvae.errors import InputError

SeenBefore = Callable[[Sequence[str]], Iterable[bool]]


@dataclass(frozen=True)
class Steering:
    """Wishes that every molecule has to meet; an empty one lets everything pass.

    `contains`, `without`: SMARTS that all have to, or none may, occur. `scaffold`: keep the seed's scaffold.
    `exclude`: sets of alerts ("PAINS", "BRENK", "NIH") of which a molecule may have none that the seed lacks.
    `seen`: says which molecules are known already; only the others pass.
    """

    windows: tuple[Window, ...] = ()
    contains: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    scaffold: bool = False
    exclude: tuple[str, ...] = ()
    seen: SeenBefore | None = None

    def __post_init__(self) -> None:
        methane = parse("C")  # a pattern or a name that cannot be used is an error now, not in the middle of the work
        for smarts in (*self.contains, *self.without):
            has_substructure(methane, smarts)
        alerts(methane, self.exclude)

    @property
    def idle(self) -> bool:
        """Whether it lets everything pass."""
        return not (self.windows or self.contains or self.without or self.scaffold or self.exclude or self.seen)

    def admit(self, seed: str, molecules: Sequence[str]) -> list[str]:
        """Those of `molecules` that meet every wish; what is quick to tell is asked first."""
        known = self.seen(molecules) if self.seen and molecules else [False] * len(molecules)
        scaffold = murcko(parse(seed)) if self.scaffold else ""
        spared = frozenset(alerts(parse(seed), self.exclude)) if self.exclude and seed else frozenset()
        with quiet():
            return [
                molecule
                for molecule, old in zip(molecules, known, strict=True)
                if not old and self._meets(parse(molecule), scaffold, spared)
            ]

    def _meets(self, mol: Chem.Mol, scaffold: str, spared: frozenset[str]) -> bool:
        return (
            all(has_substructure(mol, smarts) for smarts in self.contains)
            and not any(has_substructure(mol, smarts) for smarts in self.without)
            and (not self.scaffold or murcko(mol) == scaffold)
            and all(window.admits(lookup(window.name).function(mol)) for window in self.windows)
            and not (self.exclude and set(alerts(mol, self.exclude)) - spared)
        )


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
