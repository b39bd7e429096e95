"""Better molecules near a start: CMA-ES in latent space, begun anew from the best molecule so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molvae.data.rows import each
from molvae.errors import InputError
from molvae.explore.latent_points import Points, proposed
from molvae.explore.latent_search import Search, Strategy
from molvae.explore.objectives import Function, Goal
from molvae.generation.constraints import Score
from molvae.generator import Generator
from molvae.qsar.property_model import PropertyModel
from molvae.viz.molecules import save_grid


class Interrupted(KeyboardInterrupt):
    """Ctrl+C in the midst of a search; `frame` is the table of what was found until then."""

    def __init__(self, frame: pd.DataFrame) -> None:
        super().__init__()
        self.frame = frame


def optimize(
    generator: Generator,
    seeds: str | Iterable[str],
    maximize: str | Path | Function | PropertyModel = "qed",
    *,
    keep: str | Sequence[str] = (),
    scores: Mapping[str, Score] | None = None,
    target: float | None = None,
    max_samples: int = 5000,
    strategy: Strategy | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Molecules around each seed that score high and keep to the windows, the best first.

    `maximize`: a property or sum of them ("qed", "qed - 0.1*sa", also "similarity"), a function of an RDKit molecule,
    "FILE.py:function", or a property model (`molvae fit`) or its folder. `keep`: windows ("similarity>=0.4", "mw<500").
    `scores`: figures more, name to a function of SMILES (`screens.read_scores` reads them), which both may name:
    maximize="qed - hERG", keep="hERG<5".
    `max_samples`: strings to decode per seed; `target`: stop at the first admissible molecule that scores this much.

    A run of CMA-ES (Hansen 2016; diagonal, with the `cma` package) starts at a molecule's latent, with a normal
    distribution of `noise level` around it. Its generation is decoded in one call with those of all other seeds. Molecules
    outside the windows rank behind those inside, by how far they are out, and what is no molecule comes last. After
    `generations` the next run begins at the latent of the best admissible molecule that none has begun at yet.

    Columns: seed, smiles, score, similarity (Tanimoto to the seed) and the other figures that were asked for,
    evaluation and string (how many molecules were scored, and strings decoded, up to this one). Only molecules inside
    the windows are rows, the seed itself is not. `attrs`: errors (SMILES to reason), runs (of each seed
    best, admissible, evaluations, strings, valid, reached), summary. The same `seed` gives the same molecules, whatever
    other seeds there are. Raises `InputError`, `MissingExtraError` without cma, and on Ctrl+C `Interrupted`, which has
    what was found until then.
    """
    if max_samples < 1:
        raise InputError(f"the budget is 1 string or more, got {max_samples}")
    if target is not None and isnan(target):
        raise InputError("the target is a number that a score can reach, got nan")
    goal, plan = Goal.of(maximize, each(keep), scores), strategy or Strategy()
    points = Points.of(generator, seeds, least=1)
    searches = {
        text: Search(generator, goal, plan, text, max_samples=max_samples, target=target, seed=seed)
        for text in points.smiles
    }
    try:
        while live := [search for search in searches.values() if not search.done]:
            _generation(generator, live, plan)
            if progress:
                progress(sum(search.strings for search in searches.values()))
        return _found(searches, goal, points)
    except KeyboardInterrupt:
        raise Interrupted(_found(searches, goal, points)) from None


def draw_best(frame: pd.DataFrame, picture: str | Path, n: int = 14) -> Path:
    """Each seed in blue and its `n` best molecules with similarity and score, as .png or .svg."""
    best = frame.groupby("seed", sort=False).head(n)
    return save_grid(best[["seed", "smiles", "similarity", "score"]], picture)


def _generation(generator: Generator, searches: list[Search], plan: Strategy) -> None:
    """One generation of every search, decoded in one call."""
    asked = [search.ask() for search in searches]
    z, noise_level, keys, branch_from = (np.concatenate(parts) for parts in zip(*asked, strict=True))
    options: dict[str, Any] = {"noise_level": noise_level, "seed": keys, "branch_from": branch_from.tolist()}
    table = proposed(generator, z, temperature=plan.temperature, **options)
    molecules = iter(table["smiles"])
    for search, generation in zip(searches, asked, strict=True):
        search.tell(list(islice(molecules, len(generation.z))))


def _found(searches: dict[str, Search], goal: Goal, points: Points) -> pd.DataFrame:
    """The table of all seeds."""
    frame = pd.concat([_table(text, search, goal) for text, search in searches.items()], ignore_index=True)
    bad = points.table[points.table["error"] != ""]
    frame.attrs = {
        "errors": dict(zip(bad["smiles"], bad["error"], strict=True)),
        "runs": [_figures(text, search) for text, search in searches.items()],
    }
    frame.attrs["summary"] = [_words(row, goal.name) for row in frame.attrs["runs"]]
    return frame


def _table(text: str, search: Search, goal: Goal) -> pd.DataFrame:
    """The admissible molecules of one seed, the best first."""
    rows = [
        {"seed": text, "smiles": name, "score": known.score, **known.figures,
         "evaluation": known.evaluation, "string": known.string}
        for name, known in search.found.items()
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["seed", "smiles", "score", *goal.names, "evaluation", "string"])
    return frame.sort_values("score", ascending=False, kind="stable")


def _figures(text: str, search: Search) -> dict[str, Any]:
    return {
        "seed": text,
        "best": search.best,
        "admissible": len(search.found),
        "evaluations": search.evaluations,
        "strings": search.strings,
        "valid": search.valid,
        "reached": search.reached,
    }


def _words(row: dict[str, Any], name: str) -> str:
    best = f"best {name} {row['best']:.3f}" if row["admissible"] else "none admissible"
    spent = f"from {row['strings']:,} strings ({row['valid']:,} valid)"
    return f"{row['seed']}: {best}, {row['admissible']:,} molecules in {row['evaluations']:,} evaluations {spent}"
