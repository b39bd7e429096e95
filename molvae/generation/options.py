"""What users ask of `analogs`: the options, and in which order the molecules come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypedDict

import numpy as np
import pandas as pd

from molvae.chem.expressions import Rank
from molvae.chem.properties import lookup
from molvae.data.rows import each
from molvae.errors import InputError, did_you_mean
from molvae.generation.constraints import Score, Steering, diverse, scored
from molvae.generation.similarity_target import Dial

PROPERTIES = ("qed", "sa", "logp", "mw")
_FOUND = ("seed", "smiles", "similarity", "log_likelihood")
ANALOG_COLUMNS = (*_FOUND, *PROPERTIES, "novel")

Progress = Callable[[int], None]


class AnalogOptions(TypedDict, total=False):
    """Every option of `Generator.analogs`; all may be left out."""

    similarity: str | float | tuple[float, float] | None
    """Tanimoto to the seed: 0.6 for a median of that, (0.5, 0.7) or "0.5:0.7" for none outside. None: 0.4 or more, and
    where the budget gives too few of these, those nearest to the seed among the others."""

    noise_level: float | None
    """Instead of a similarity, how far from the seed's latent to draw: 0 stays at a draw of its posterior, 1 forgets
    it."""

    samples_per_latent: int
    """Strings from each latent: 1."""

    temperature: float | None
    """Below 1 favors likely symbols, 0 is greedy; None: the model's default."""

    top_k: int
    """Draw from this many likeliest symbols; 0: all."""

    top_p: float
    """Draw from the likeliest symbols of this total probability: 1."""

    grammar: bool
    """Draw only symbols that the grammar of SMILES allows: False. More strings are molecules, each takes longer, and
    what was put right is seldom like the seed."""

    max_samples: int
    """Strings per seed at most; 0: 20 for each molecule, with a similarity 50, and at least 1,000."""

    keep: Sequence[str]
    """Windows of properties, or of `scores`, all of which must hold: "mw<500", "logp 1:4", "pIC50>6"."""

    contains: Sequence[str]
    """SMARTS, all of which must occur."""

    without: Sequence[str]
    """SMARTS, none of which may occur."""

    core: str | None
    """What stays as it is: a SMILES with * at each place where a group may be, such as "[*]c1ccc(C(N)=O)cc1". Nothing
    is added anywhere else, and of several pieces each stays (`chem.cores.has_core`). Strings leave the seed's at its
    groups. A seed without the core is an error of its own."""

    keep_scaffold: bool
    """Only molecules with the seed's Bemis-Murcko scaffold."""

    exclude_stereoisomers: bool
    """No molecules that are the seed but for its stereo: their similarity, which does not know of stereo, is 1."""

    exclude: Sequence[str]
    """Sets of alerts (PAINS, BRENK, NIH) of which a molecule may have none that the seed lacks."""

    exclude_training_set: bool
    """Only molecules that are not in the training set."""

    rank: str | None
    """Instead of similarity, the order: "qed", "-sa", "similarity - 0.2*sa"; the highest first."""

    scores: Mapping[str, Score]
    """Columns of one's own, which `rank` and `keep` may name: a function of SMILES (N) to numbers (N) for each."""

    diverse: int
    """Of the best, return this many that are unlike each other; 0: return all. Where a median was asked for, half are
    from above it and half from below."""

    properties: str | Sequence[str] | None
    """Columns of properties, which take longer than the molecules themselves: qed, sa, logp, mw; () for none."""

    refine: bool
    """Move a seed's latent, where the decoder would not write the seed from it, until it does: True. What is drawn is
    nearer to the seed and more of it valid."""

    standardize: bool
    """First normalize the seeds' groups and strip their salts."""

    seed: int
    """The same seed gives the same molecules: 0."""

    workers: int | None
    """Processes: one for each core; for a few molecules none are started. On a CPU they share many seeds among them,
    otherwise they read what is decoded. 0: none."""

    progress: Progress | None
    """Told how many molecules there are so far."""


@dataclass(frozen=True)
class Order:
    """How the molecules of one seed are sorted and thinned out."""

    rank: Rank | None = None
    diverse: int = 0
    median: float | None = None  # that the similarities of the diverse ones are to have, too
    scores: Mapping[str, Score] = field(default_factory=dict)
    properties: tuple[str, ...] = PROPERTIES

    def columns(self, steering: Steering) -> tuple[str, ...]:
        """The columns of the table: the usual ones, those that wishes and rank name, and the rank."""
        named = (
            [window.name for window in steering.windows] + list(self.rank.names if self.rank else ()) + [*self.scores]
        )
        usual = (*_FOUND, *self.properties, "novel")
        more = [name for name in dict.fromkeys(named) if name not in usual]
        return (*usual, *more, *(["rank"] if self.rank else []))

    def applied(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows in order, or the diverse ones among the best of them."""
        by = "similarity"
        molecules = list(frame["smiles"])
        frame = frame.assign(**{name: scored(score, name, molecules) for name, score in self.scores.items()})
        if self.rank is not None:
            by = "rank"
            frame = frame.assign(rank=self.rank.values({name: frame[name].to_numpy() for name in self.rank.names}))
        frame = frame.iloc[np.argsort(-frame[by].to_numpy(), kind="stable")].reset_index(drop=True)
        return frame.iloc[self._picked(frame)].reset_index(drop=True) if self.diverse else frame

    def _picked(self, frame: pd.DataFrame) -> list[int]:
        """Places of the diverse ones, ascending."""
        if self.median is None:
            return diverse(list(frame["smiles"]), self.diverse)
        above = (frame["similarity"] >= self.median).to_numpy()
        places = list[int]()
        for side, count in ((above, self.diverse // 2), (~above, self.diverse - self.diverse // 2)):
            here = np.flatnonzero(side)
            if count:
                places += here[diverse(list(frame["smiles"].iloc[here]), count)].tolist()
        return sorted(places)

    @classmethod
    def of(
        cls,
        rank: str | None,
        count: int,
        scores: Mapping[str, Score] | None = None,
        properties: str | Sequence[str] | None = None,
        median: float | None = None,
    ) -> Self:
        """Raises `InputError` for a rank that cannot be read, a property that is not known or a negative count, and for
        a score that is called as another column is."""
        if count < 0:
            raise InputError(f"diverse is 0 (all) or a number of molecules, got {count}")
        for name in scores or {}:
            if name in (*ANALOG_COLUMNS, "rank", "name"):
                raise InputError(f"a score cannot be called {name!r}, for that is another column: rename it")
        known = ["similarity", "log_likelihood", *(scores or {})]
        asked = PROPERTIES if properties is None else each(properties)
        chosen = tuple(dict.fromkeys(lookup(name).name for name in asked))
        return cls(None if rank is None else Rank.of(rank, known), count, median, scores or {}, chosen)


def read_order(options: AnalogOptions) -> Order:
    """The order that the options ask for, once all of them are known to be options."""
    for name in options:
        if name not in AnalogOptions.__annotations__:
            raise InputError(f"analogs has no option {name!r}{did_you_mean(name, AnalogOptions.__annotations__)}")
    similarity = options.get("similarity")
    return Order.of(
        options.get("rank"),
        options.get("diverse", 0),
        options.get("scores"),
        options.get("properties"),
        None if similarity is None else Dial.of(similarity).target,
    )
