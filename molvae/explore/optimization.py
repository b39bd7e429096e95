"""Optimization of molecules in latent space, starting from seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molvae.chem.standardization import prepare
from molvae.data.arguments import as_tuple
from molvae.data.checked_arguments import checked_arguments
from molvae.errors import InputError
from molvae.explore.latent_points import EncodedMolecules, decode_molecules
from molvae.explore.latent_search import LatentSearch, SearchStrategy
from molvae.explore.objective import Objective, ObjectiveLike
from molvae.generation.options import ScoresLike
from molvae.generator import Generator
from molvae.viz.progress import progress_bar
from molvae.viz.table_image import save_table_image


class OptimizationInterrupted(KeyboardInterrupt):
    """Raised by `optimize` on Ctrl+C; `frame` is the table of the molecules found so far."""

    def __init__(self, frame: pd.DataFrame) -> None:
        super().__init__()
        self.frame = frame


@checked_arguments
def optimize(
    generator: Generator,
    seeds: str | Iterable[str],
    objective: ObjectiveLike = "qed",
    *,
    filters: str | Sequence[str] = (),
    scores: ScoresLike = None,
    allow_unprecedented: bool = False,
    precedence: str | Path | None = None,
    target: float | None = None,
    max_samples: int = 5000,
    strategy: SearchStrategy | None = None,
    random_state: int = 0,
    progress: Callable[[int], None] | None = None,
    on_generation: Callable[[Mapping[str, LatentSearch]], None] | None = None,
    keep_salts: bool = False,
) -> pd.DataFrame:
    """Find molecules near each seed that maximize an objective and pass filters.

    By default this is a local search with restarts. Each generation samples latents from a normal distribution around
    the latent of one molecule, and lets half of its samples branch off that molecule's SMILES at a random position.
    The next generation is sampled around the best feasible molecule that was not a center before. CMA-ES [1]_ draws
    the latents, but it restarts after every generation, so its adaptation has no effect. With
    `SearchStrategy(n_generations=10)` each run is a diagonal CMA-ES of ten generations, which ranks feasible molecules
    by their score, infeasible ones after them by their constraint violation, and invalid samples last.

    The samples of all seeds are decoded together, and the result of a seed does not depend on the other seeds.

    Parameters
    ----------
    generator : Generator
        The model.
    seeds : str or iterable of str
        Molecules to start from.
    objective : str, Path, callable or PropertyModel
        Score to maximize: a property or weighted sum of properties ("qed", "qed - 0.1*sa"; "similarity" is the Tanimoto
        similarity to the seed), a function of a list of SMILES or of one RDKit molecule, "FILE.py:FUNCTION", or a
        property model or its directory.
    filters : str or sequence of str
        Constraints such as "similarity>=0.4" or "mw<500". Only molecules that pass all of them are returned.
    scores : mapping of str to callable, optional
        User-defined scores by name: functions of a list of SMILES or of one RDKit molecule. The objective and the
        filters may name them, as in objective="qed - hERG" and filters="hERG<5".
    allow_unprecedented : bool
        Also molecules with ring systems, atom environments (radius 1) or unstable groups that neither real molecules
        nor the seed have. By default they are infeasible, and neither filters on properties nor scores are computed
        for them.
    precedence : str or Path, optional
        File of a precedence table of your own molecules, written by `molvae precedence build`; default: the table that
        ships with the package.
    target : float, optional
        Stop the search of a seed at the first feasible molecule with at least this score.
    max_samples : int
        Number of samples per seed.
    strategy : SearchStrategy, optional
        Settings of the search.
    random_state : int
        Seed of all random numbers.
    progress : callable, optional
        Called with the number of samples so far, over all seeds, after each generation. By default a progress bar is
        shown in a terminal or notebook.
    on_generation : callable, optional
        Called with the searches by seed after each generation; `best_score` and `feasible` of a search are its results
        so far.
    keep_salts : bool
        Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.

    Returns
    -------
    DataFrame
        The feasible molecules of each seed, the best first: `seed`, `smiles`, `score`, `similarity` and the other
        properties that objective and filters name, `n_evaluations` and `n_samples` (how many molecules were scored and
        samples decoded until this one was found). The seed itself is not included. `attrs`: errors (SMILES to reason),
        notes (SMILES to what was changed),
        statistics (a dict per seed: seed, best_score, feasible, evaluations, implausible, samples, valid,
        reached_target; implausible is the number of molecules that were rejected as such), summary.

    Raises
    ------
    InputError
        If an option is invalid or no seed can be encoded.
    MissingExtraError
        If the `cma` package is not installed.
    OptimizationInterrupted
        On Ctrl+C, with the molecules found so far.

    References
    ----------
    .. [1] Hansen, "The CMA evolution strategy: A tutorial", 2016, https://arxiv.org/abs/1604.00772

    Examples
    --------
    >>> from molvae import explore, load
    >>> table = explore.optimize(load(), "CC(=O)Nc1ccc(O)cc1", "qed", filters="similarity>=0.4", max_samples=64)
    >>> bool((table["similarity"] >= 0.4).all()), table["score"].is_monotonic_decreasing
    (True, True)
    """
    if max_samples < 1:
        raise InputError(f"max_samples must be at least 1, got {max_samples}")
    if target is not None and isnan(target):
        raise InputError("target must be a number, got nan")
    parsed = Objective.parse(
        objective,
        as_tuple(filters),
        scores,
        plausible=not allow_unprecedented,
        precedence_file=None if precedence is None else Path(precedence),
    )
    strategy = strategy or SearchStrategy()
    molecules = EncodedMolecules.from_smiles(generator, seeds, min_distinct=1, keep_salts=keep_salts)
    searches = {
        seed: LatentSearch(
            generator,
            parsed,
            strategy,
            prepare(seed, keep_salts=keep_salts, keep_isotopes=False).smiles,
            max_samples=max_samples,
            target=target,
            random_state=random_state,
        )
        for seed in molecules.smiles
    }
    try:
        with progress_bar(max_samples * len(searches), "samples", progress) as advance:
            while active := [search for search in searches.values() if not search.done]:
                run_generation(generator, active, strategy.temperature)
                if on_generation:
                    on_generation(searches)
                if advance:
                    advance(sum(search.n_samples for search in searches.values()))
        return _result_table(searches, parsed, molecules)
    except KeyboardInterrupt:
        raise OptimizationInterrupted(_result_table(searches, parsed, molecules)) from None


def draw_best(frame: pd.DataFrame, path: str | Path, n: int = 14) -> Path:
    """Save each seed of an `optimize` table, highlighted, and its best molecules with similarity and score as an image.

    Parameters
    ----------
    frame : DataFrame
        Result of `optimize`.
    path : str or Path
        Output file, .png or .svg; replaced atomically.
    n : int
        Maximum number of molecules per seed.

    Returns
    -------
    Path
        The path of the file.
    """
    best = frame.groupby("seed", sort=False).head(n)
    return save_table_image(best[["seed", "smiles", "similarity", "score"]], path)


def run_generation(generator: Generator, searches: list[LatentSearch], temperature: float) -> None:
    """Decode one generation of every search in a single call."""
    generations = [search.ask() for search in searches]
    table = decode_molecules(
        generator,
        np.concatenate([generation.latents for generation in generations]),
        noise_level=np.concatenate([generation.noise_level for generation in generations]),
        temperature=temperature,
        random_state=np.concatenate([generation.keys for generation in generations]),
        branch_from=[smiles for generation in generations for smiles in generation.branch_from],
    )
    decoded = iter(table["smiles"])
    for search, generation in zip(searches, generations, strict=True):
        search.tell(list(islice(decoded, len(generation.latents))))


def _result_table(searches: dict[str, LatentSearch], objective: Objective, molecules: EncodedMolecules) -> pd.DataFrame:
    """The feasible molecules of all seeds, with errors and statistics."""
    tables = [_seed_table(seed, search, objective) for seed, search in searches.items()]
    frame = pd.concat(tables, ignore_index=True)
    statistics = [_statistics(seed, search) for seed, search in searches.items()]
    summary = [_summary_line(row, objective.name) for row in statistics]
    frame.attrs = {"errors": molecules.errors, "notes": molecules.notes, "statistics": statistics, "summary": summary}
    return frame


def _seed_table(seed: str, search: LatentSearch, objective: Objective) -> pd.DataFrame:
    """The feasible molecules of one seed, the best first."""
    rows = [
        {
            "seed": seed,
            "smiles": smiles,
            "score": candidate.score,
            **candidate.properties,
            "n_evaluations": candidate.n_evaluations,
            "n_samples": candidate.n_samples,
        }
        for smiles, candidate in search.feasible.items()
    ]
    columns = ["seed", "smiles", "score", *objective.property_names, "n_evaluations", "n_samples"]
    return pd.DataFrame(rows, columns=columns).sort_values("score", ascending=False, kind="stable")


def _statistics(seed: str, search: LatentSearch) -> dict[str, Any]:
    return {
        "seed": seed,
        "best_score": search.best_score,
        "feasible": len(search.feasible),
        "evaluations": search.n_evaluations,
        "implausible": search.n_implausible,
        "samples": search.n_samples,
        "valid": search.n_valid,
        "reached_target": search.reached_target,
    }


def _summary_line(row: dict[str, Any], objective: str) -> str:
    """Text such as "CCO: best qed 0.512, 31 feasible molecules, 40 evaluations, 64 samples (60 valid)"."""
    best = f"best {objective} {row['best_score']:.3f}, " if row["feasible"] else ""
    counts = f"{row['feasible']:,} feasible molecules, {row['evaluations']:,} evaluations"
    counts += f", {row['implausible']:,} implausible" if row["implausible"] else ""
    return f"{row['seed']}: {best}{counts}, {row['samples']:,} samples ({row['valid']:,} valid)"
