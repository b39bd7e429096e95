"""What users ask of `analogs`: the options, and in which order the molecules come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self, TypedDict

import numpy as np
import pandas as pd

from molvae.chem.windows import Rank
from molvae.errors import InputError
from molvae.sampling.steering import Steering, diverse

PROPERTIES = ("qed", "sa", "logp", "mw")
ANALOG_COLUMNS = ("seed", "smiles", "similarity", "log_likelihood", *PROPERTIES, "novel")

Progress = Callable[[int], None]


class AnalogOptions(TypedDict, total=False):
    """Every option of `Generator.analogs`; all may be left out."""

    radius: float | None
    """0 stays at the seed's latent, 1 forgets it; None begins at the model's default and moves further out where that
    gives little that is new."""

    similarity: str | float | tuple[float, float] | None
    """Instead of a radius, Tanimoto to the seed: 0.6 for a median of that, (0.5, 0.7) or "0.5:0.7" for none outside."""

    decodes: int
    """Strings from each latent: 1."""

    temperature: float | None
    """Below 1 favours likely symbols, 0 is greedy; None: the model's default."""

    top_k: int
    """Draw from this many likeliest symbols; 0: all."""

    top_p: float
    """Draw from the likeliest symbols of this total probability: 1."""

    budget: int
    """Strings per seed at most; 0: 20 for each molecule, with a similarity 50, and at least 1,000."""

    keep: Sequence[str]
    """Windows of properties, all of which must hold: "mw<500", "logp 1:4"."""

    contains: Sequence[str]
    """SMARTS, all of which must occur."""

    without: Sequence[str]
    """SMARTS, none of which may occur."""

    keep_scaffold: bool
    """Only molecules with the seed's Bemis-Murcko scaffold."""

    exclude: Sequence[str]
    """Sets of alerts (PAINS, BRENK, NIH) of which a molecule may have none that the seed lacks."""

    novel_only: bool
    """Only molecules that are not in the training set."""

    rank: str | None
    """Instead of similarity, the order: "qed", "-sa", "similarity - 0.2*sa"; the highest first."""

    diverse: int
    """Of the best, return this many that are unlike each other; 0: return all."""

    standardise: bool
    """First normalise the seeds' groups and strip their salts."""

    seed: int
    """The same seed gives the same molecules: 0."""

    progress: Progress | None
    """Told how many molecules there are so far."""


@dataclass(frozen=True)
class Order:
    """How the molecules of one seed are sorted and thinned out."""

    rank: Rank | None = None
    diverse: int = 0

    def columns(self, steering: Steering) -> tuple[str, ...]:
        """The columns of the table: the usual ones, those that wishes and rank name, and the rank."""
        named = [window.name for window in steering.windows] + list(self.rank.names if self.rank else ())
        more = [name for name in dict.fromkeys(named) if name not in ANALOG_COLUMNS]
        return (*ANALOG_COLUMNS, *more, *(["rank"] if self.rank else []))

    def applied(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows in order, or the diverse ones among the best of them."""
        by = "similarity"
        if self.rank is not None:
            by = "rank"
            frame = frame.assign(rank=self.rank.values({name: frame[name].to_numpy() for name in self.rank.names}))
        frame = frame.iloc[np.argsort(-frame[by].to_numpy(), kind="stable")].reset_index(drop=True)
        if self.diverse:
            frame = frame.iloc[diverse(list(frame["smiles"]), self.diverse)].reset_index(drop=True)
        return frame

    @classmethod
    def of(cls, rank: str | None, count: int) -> Self:
        """Raises `InputError` for a rank that cannot be read or a negative count."""
        if count < 0:
            raise InputError(f"diverse is 0 (all) or a number of molecules, got {count}")
        known = [name for name in ANALOG_COLUMNS if name in ("similarity", "log_likelihood")]
        return cls(None if rank is None else Rank.of(rank, known), count)


def read_order(options: AnalogOptions) -> Order:
    """The order that the options ask for, once all of them are known to be options."""
    for name in options:
        if name not in AnalogOptions.__annotations__:
            near = get_close_matches(name, AnalogOptions.__annotations__, n=1, cutoff=0.0)[0]
            raise InputError(f"analogs has no option {name!r}: did you mean {near!r}?")
    return Order.of(options.get("rank"), options.get("diverse", 0))
