"""What an optimization is after: properties, a property model or a user's function, within windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.expressions import Rank, Window
from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.properties import PROPERTIES, compute
from molvae.chem.smiles import parse
from molvae.generation.constraints import Score, scored
from molvae.qsar.property_model import PropertyModel
from molvae.screening.scoring_functions import PythonScore, Tolerant

Floats = NDArray[np.float64]
Function = Callable[[Chem.Mol], float]
"""A figure of an RDKit molecule, larger is better; one that has none gets NaN, or an exception."""

SIMILARITY = "similarity"


@dataclass(frozen=True)
class Judged:
    """K molecules seen from one start. `figures`: name to value (K,), NaN where it was not needed.

    `gap` (K,): how far outside its windows each lies, summed, by the size of the bounds; 0 is inside. `score` (K,): the
    objective of those inside, NaN for the others.
    """

    figures: dict[str, Floats]
    gap: Floats
    score: Floats


@dataclass(frozen=True)
class Goal:
    """A figure to be maximized: `rank`, or where there is one `function` of canonical SMILES; and windows to keep.

    `scores`: figures of the user's own, which rank and windows may name.
    """

    name: str
    rank: Rank
    function: Callable[[list[str]], Floats] | None
    windows: tuple[Window, ...]
    scores: Mapping[str, Score] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        maximize: str | Path | Function | PropertyModel,
        keep: Iterable[str] = (),
        scores: Mapping[str, Score] | None = None,
    ) -> Self:
        """From "qed", "qed - 0.1*sa", "FILE.py:function", a function, or a property model or its folder.

        Windows are those of `Window.of`, also of "similarity". `scores` may be named by both, such as in "-hERG + qed".
        Raises `InputError` for what cannot be read.
        """
        own = dict(scores or {})
        known = (SIMILARITY, *own)
        windows = tuple(Window.of(text, known) for text in keep)
        if found := _function(maximize):
            name, function = found
            return cls(name, Rank(()), function, windows, own)
        text = str(maximize)
        return cls(text, Rank.of(text, known), None, windows, own)

    @property
    def names(self) -> tuple[str, ...]:
        """The figures that it looks at, each once, similarity first."""
        return tuple(dict.fromkeys((SIMILARITY, *self.rank.names, *(window.name for window in self.windows))))

    def judge(self, start: str, smiles: Sequence[str]) -> Judged:
        """Look at molecules. The objective, which may be dear, is asked only about those inside the windows."""
        mols = np.array([parse(text) for text in smiles], dtype=object)
        figures = {name: np.full(len(mols), np.nan) for name in self.names}
        figures[SIMILARITY] = tanimoto(morgan(parse(start)), [morgan(mol) for mol in mols])
        gap = np.zeros(len(mols))
        for window in sorted(self.windows, key=lambda window: self._cost(window.name)):
            values = self._filled(figures[window.name], window.name, smiles, mols, gap == 0)
            gap[gap == 0] = [_outside(window, value) for value in values[gap == 0]]
        inside, score = gap == 0, np.full(len(mols), np.nan)
        if self.function is not None:
            score[inside] = self.function([text for text, ok in zip(smiles, inside, strict=True) if ok])
        else:
            columns = {n: self._filled(figures[n], n, smiles, mols, inside)[inside] for n in self.rank.names}
            score[inside] = self.rank.values(columns)
        return Judged(figures, gap, score)

    def _cost(self, name: str) -> int:
        """The cheapest figures are looked at first."""
        return 0 if name == SIMILARITY else 2 if name in self.scores else 1

    def _filled(
        self,
        values: Floats,
        name: str,
        smiles: Sequence[str],
        mols: NDArray[np.object_],
        wanted: NDArray[np.bool_],
    ) -> Floats:
        """The figure of the wanted molecules, computed where it is not there yet, put in its place."""
        missing = np.flatnonzero(wanted & np.isnan(values))
        if len(missing) and name in self.scores:
            values[missing] = scored(self.scores[name], name, [smiles[place] for place in missing.tolist()])
        elif len(missing):
            values[missing] = compute(list(mols[missing]), [name])[name]
        return values


def _function(
    maximize: str | Path | Function | PropertyModel,
) -> tuple[str, Callable[[list[str]], Floats]] | None:
    """What is no sum of figures: its name, and it as a function of SMILES."""
    text = str(maximize)
    if isinstance(maximize, str | Path) and Path(maximize).is_dir() and text not in PROPERTIES:
        maximize = PropertyModel.load(maximize)
    if isinstance(maximize, PropertyModel):
        return maximize.target, maximize
    if isinstance(maximize, str | Path) and ".py:" not in text:
        return None
    if callable(maximize):
        own = Tolerant(getattr(maximize, "__name__", "objective"), maximize)
        return own.name, lambda smiles: own([parse(one) for one in smiles])
    read = PythonScore.read(text)
    return read.name, lambda smiles: read([parse(one) for one in smiles])


def _outside(window: Window, value: float) -> float:
    """How far a value lies outside a window, by the size of the bound that it breaks; never 0 there."""
    if window.accepts(value):
        return 0.0
    bound = window.high if value >= window.high else window.low
    return max(abs(value - bound) / max(abs(bound), 1.0), 1e-9) if np.isfinite(value) else np.inf
