"""Search around one seed in latent space: latents proposed by CMA-ES, and branches of the current best molecule.

CMA-ES proposes latents around a center. Part of each generation is sampled close to that center instead, and its
samples are forced to branch off the center's own SMILES at a random position. This gives small structural changes,
which are rare in samples from latents alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.standardization import prepare
from molvae.errors import InputError, MoleculeError, import_extra
from molvae.explore.latent_points import Array, optimized_latent
from molvae.explore.objective import Objective
from molvae.generation.seed_sampler import seed_key
from molvae.generator import Generator
from molvae.nn.latents import perturb

MIN_CMA_POPULATION = 4


@dataclass(frozen=True)
class SearchStrategy:
    """Settings of `optimize`.

    The defaults did best in benchmarks/optimize.py: within 1,000 samples they solve 91% of 100 tasks, and 85%
    without branches. With `n_generations=1` each run restarts before CMA-ES has adapted its distribution, so the search
    is a local search around the best molecules. With earlier weights and no branches this solved 71%, runs of four
    generations 65%, and a single long run 58%.

    Parameters
    ----------
    population_size : int
        Latents per generation, including those of branched samples; at least 4.
    samples_per_latent : int
        Samples per latent; CMA-ES sees the best one.
    n_generations : int
        Generations per CMA-ES run. Then the search restarts at the best molecule that no run has started from.
    noise_level : float
        Initial step size of a run, above 0 and at most 1, as in `Generator.analogs`.
    temperature : float
        Sampling temperature of the decoder.
    similarity_weight : float
        Weight of the similarity to the seed, added to the score, when the molecule to restart from is chosen.
    branch_fraction : float
        Fraction (0 to 1) of a generation whose samples branch off the SMILES of the molecule at the center.
    branch_noise_level : float
        Noise level (0 to 1) of the latents of branched samples.
    """

    population_size: int = 64
    samples_per_latent: int = 1
    n_generations: int = 1
    noise_level: float = 0.5
    temperature: float = 1.0
    similarity_weight: float = 0.3
    branch_fraction: float = 0.5
    branch_noise_level: float = 0.2

    def __post_init__(self) -> None:
        if self.population_size < MIN_CMA_POPULATION:
            raise InputError(f"population_size must be at least {MIN_CMA_POPULATION}, got {self.population_size}")
        for name in ("samples_per_latent", "n_generations"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.noise_level <= 1:
            raise InputError(f"noise_level must be above 0 and at most 1, got {self.noise_level}")
        for name in ("branch_fraction", "branch_noise_level"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be from 0 to 1, got {getattr(self, name)}")

    @property
    def n_branched(self) -> int:
        """Latents per generation whose samples are branched; CMA-ES needs at least 4 of its own."""
        return min(round(self.branch_fraction * self.population_size), self.population_size - MIN_CMA_POPULATION)


class Generation(NamedTuple):
    """N latents to decode: their noise levels, a random key per sample, and the SMILES to branch from ("" for none)."""

    latents: Array  # (N, D)
    noise_level: Array  # (N,)
    keys: NDArray[np.int64]  # (N,)
    branch_from: list[str]


@dataclass(frozen=True)
class Candidate:
    """An evaluated molecule, with the numbers of evaluations and samples until it was found."""

    score: float  # NaN if infeasible
    violation: float  # 0 if feasible
    properties: dict[str, float]
    n_evaluations: int
    n_samples: int

    @property
    def feasible(self) -> bool:
        """Whether the molecule passes all filters."""
        return not isnan(self.score)

    @property
    def sort_key(self) -> tuple[int, float]:
        """Sort key: feasible molecules by descending score, then the others by ascending violation."""
        return (0, -self.score) if self.feasible else (1, self.violation or inf)


_INVALID_SORT_KEY = (2, 0.0)  # an invalid sample, or the seed itself


class LatentSearch:
    """The search of one seed: call `ask`, decode the latents, and `tell` the molecules, until it is `done`.

    Parameters
    ----------
    generator : Generator
        The model.
    objective : Objective
        Score and filters.
    strategy : SearchStrategy
        Settings.
    seed : str
        SMILES of the molecule to start from.
    max_samples : int
        Number of samples after which the search ends.
    target : float, optional
        Score at which the search ends early.
    random_state : int
        Seed of all random numbers, combined with the molecule.
    """

    def __init__(
        self,
        generator: Generator,
        objective: Objective,
        strategy: SearchStrategy,
        seed: str,
        *,
        max_samples: int,
        target: float | None = None,
        random_state: int = 0,
    ) -> None:
        self.generator, self.objective, self.strategy, self.seed = (
            generator,
            objective,
            strategy,
            prepare(seed, keep_salts=True).smiles,
        )
        self.max_samples, self.target = max_samples, target
        self.rng = np.random.default_rng(seed_key(random_state, self.seed) % 2**64)
        self.n_samples = self.n_valid = self.n_evaluations = self.n_implausible = 0
        self.candidates: dict[str, Candidate] = {}  # in the order in which they were found
        self._started_from: set[str] = set()
        self._start_run(self.seed)

    @property
    def feasible(self) -> dict[str, Candidate]:
        """The candidates that pass all filters."""
        return {smiles: candidate for smiles, candidate in self.candidates.items() if candidate.feasible}

    @property
    def best_score(self) -> float:
        """Score of the best feasible candidate; -inf if there is none."""
        return max((candidate.score for candidate in self.feasible.values()), default=-inf)

    @property
    def reached_target(self) -> bool:
        """Whether the target is set and the best score is at least the target."""
        return self.target is not None and self.best_score >= self.target

    @property
    def done(self) -> bool:
        """Whether all samples are used or the target is reached."""
        return self.n_samples >= self.max_samples or self.reached_target

    def ask(self) -> Generation:
        """The next generation: the latents of CMA-ES, then those of branches, cut to the remaining samples."""
        strategy = self.strategy
        self._proposals = self._cma.ask()
        center = torch.tensor(self.center)
        explored = perturb(center, strategy.noise_level, torch.tensor(np.array(self._proposals)))
        noise = torch.tensor(self.rng.standard_normal((strategy.n_branched, len(self.center))))
        branched = perturb(center, strategy.branch_noise_level, noise)
        rows = np.repeat(np.arange(len(explored) + len(branched)), strategy.samples_per_latent)
        rows = rows[: self.max_samples - self.n_samples]
        is_branched = rows >= len(explored)
        return Generation(
            latents=torch.cat([explored, branched]).numpy()[rows],
            noise_level=np.where(is_branched, strategy.branch_noise_level, strategy.noise_level),
            keys=self.rng.integers(0, 2**62, len(rows)),
            branch_from=[self.center_smiles if branch else "" for branch in is_branched],
        )

    def tell(self, molecules: Sequence[str]) -> None:
        """Report the outcome of each row of the generation: a canonical SMILES, or "" for an invalid sample."""
        self._evaluate(molecules)
        if self.done:  # the last generation may be incomplete, which CMA-ES does not accept
            return
        per_latent = self.strategy.samples_per_latent
        explored = molecules[: len(self._proposals) * per_latent]
        keys = [self.candidates[m].sort_key if m in self.candidates else _INVALID_SORT_KEY for m in explored]
        rank = {key: index for index, key in enumerate(sorted(set(keys)))}
        costs = np.array([rank[key] for key in keys]).reshape(-1, per_latent).min(axis=1)
        self._cma.tell(self._proposals, costs.tolist())
        if self._cma.countiter >= self.strategy.n_generations:
            self._start_run(self._next_start())

    def _evaluate(self, molecules: Sequence[str]) -> None:
        """Evaluate the new molecules of a generation; the seed itself is not a candidate."""
        first_sample = {m: number for number, m in reversed(list(enumerate(molecules, start=self.n_samples + 1)))}
        new = [m for m in dict.fromkeys(molecules) if m and m != self.seed and m not in self.candidates]
        evaluation = self.objective.evaluate(self.seed, new)
        for i, smiles in enumerate(new):
            self.n_evaluations += int(evaluation.violation[i] == 0)
            self.candidates[smiles] = Candidate(
                score=float(evaluation.score[i]),
                violation=float(evaluation.violation[i]),
                properties={name: float(values[i]) for name, values in evaluation.properties.items()},
                n_evaluations=self.n_evaluations,
                n_samples=first_sample[smiles],
            )
        self.n_implausible += int(evaluation.implausible.sum())
        self.n_samples += len(molecules)
        self.n_valid += sum(map(bool, molecules))

    def _next_start(self) -> str:
        """The best feasible molecule that no run has started from; the seed if there is none."""
        unused = {smiles: c for smiles, c in self.feasible.items() if smiles not in self._started_from}
        return max(unused, key=lambda smiles: self._start_score(unused[smiles]), default=self.seed)

    def _start_score(self, candidate: Candidate) -> float:
        return candidate.score + self.strategy.similarity_weight * candidate.properties["similarity"]

    def _start_run(self, smiles: str) -> None:
        """Start a CMA-ES run at a molecule, in units of the noise level around its latent."""
        self._started_from.add(smiles)
        try:
            self.center = optimized_latent(self.generator, smiles)  # (D,)
        except MoleculeError:  # the decoder can generate molecules that the encoder cannot represent
            self._start_run(self._next_start())
            return
        self.center_smiles = smiles

        def standard_normal(*shape: int) -> Array:  # cma would otherwise seed and use NumPy's global generator
            return self.rng.standard_normal(shape)

        options = {
            "popsize": self.strategy.population_size - self.strategy.n_branched,
            "CMA_diagonal": True,
            "randn": standard_normal,
            "seed": np.nan,
            "verbose": -9,
        }
        self._cma = import_extra("cma").CMAEvolutionStrategy(np.zeros(len(self.center)), 1.0, options)
