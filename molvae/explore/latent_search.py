"""The search around one molecule: what CMA-ES asks for, and what is learned of the molecules that it gets.

Beside the latents that CMA-ES asks for, some of each generation are near the one that it began at, and their strings
are made to leave that molecule's: small changes, of which latents give few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.smiles import canonical
from molvae.errors import InputError, MoleculeError, import_extra
from molvae.explore.latent_points import latent_of
from molvae.explore.objectives import Goal
from molvae.generation.seed_sampler import seed_key
from molvae.generator import Generator
from molvae.nn.latents import perturb

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Strategy:
    """How the latent space is searched; the defaults are those that benchmarks/optimize.py did best with.

    On its task 1,000 strings are enough for 91 % of 100 starts, and for 85 % where none departs. With earlier weights,
    and none departing, they were for 71 % with runs of one generation, for 65 % with runs of four and for 58 % with a
    single long run: among so many dimensions a few generations teach CMA-ES little, and what it finds is better encoded
    anew.
    """

    population: int = 64  # latents of a generation, those of strings that depart included
    samples_per_latent: int = 1  # strings from each latent, of which the best counts
    generations: int = 1  # of one run of CMA-ES, before the next begins at the best molecule
    noise_level: float = 0.5  # spread of a run's first generation, 0 to 1 as of `Generator.analogs`
    temperature: float = 1.0  # of the symbols
    closeness: float = 0.3  # where to begin anew: what a similarity of 1 to the start is worth in score
    departing: float = 0.5  # share of a generation whose strings leave that of the molecule that the run began at
    near: float = 0.2  # how far from its latent, as `noise level`

    @property
    def departures(self) -> int:
        """Latents of a generation whose strings depart; CMA-ES asks for the others, and takes no fewer than 4."""
        return min(round(self.departing * self.population), self.population - 4)

    def __post_init__(self) -> None:
        if self.population < 4 or self.samples_per_latent < 1 or self.generations < 1:
            raise InputError(f"a population is 4 or more, decodes and generations are 1 or more, got {self}")
        if not 0 < self.noise_level <= 1:
            raise InputError(
                f"noise level must lie above 0 (the start itself) and at most at 1, got {self.noise_level}"
            )
        if not (0 <= self.departing <= 1 and 0 <= self.near <= 1):
            raise InputError(f"departing and near lie in 0 to 1, got {self.departing} and {self.near}")


class Generation(NamedTuple):
    """What is to be decoded, N rows: latents N x D, their noise level, the random key of each string, what it leaves."""

    z: Array
    noise_level: Array
    keys: NDArray[np.int64]
    branch_from: list[str]


@dataclass(frozen=True)
class Known:
    """What was learned of a molecule, and after how many evaluations and strings."""

    score: float  # NaN outside the windows
    gap: float  # how far outside; 0 is inside
    figures: dict[str, float]
    evaluation: int
    string: int

    @property
    def admissible(self) -> bool:
        return not isnan(self.score)

    @property
    def order(self) -> tuple[int, float]:
        """Sorts the admissible by their score, then the others by how far they are outside."""
        return (0, -self.score) if self.admissible else (1, self.gap or inf)


_NO_MOLECULE = (2, 0.0)  # or the start once more


class Search:
    """One seed on its way: `ask` for latents, decode them, `tell` the molecules, until it is `done`."""

    def __init__(
        self,
        generator: Generator,
        goal: Goal,
        plan: Strategy,
        start: str,
        *,
        max_samples: int,
        target: float | None = None,
        seed: int = 0,
    ) -> None:
        self.generator, self.goal, self.plan, self.start = generator, goal, plan, canonical(start)
        self.max_samples, self.target = max_samples, target
        self.random = np.random.default_rng(seed_key(seed, self.start) % 2**64)
        self.strings = self.valid = self.evaluations = 0
        self.known: dict[str, Known] = {}  # in the order of finding
        self.begun: set[str] = set()
        self._begin(self.start)

    @property
    def found(self) -> dict[str, Known]:
        """The admissible molecules."""
        return {name: known for name, known in self.known.items() if known.admissible}

    @property
    def best(self) -> float:
        return max((known.score for known in self.found.values()), default=-inf)

    @property
    def done(self) -> bool:
        return self.strings >= self.max_samples or self.reached

    @property
    def reached(self) -> bool:
        """Whether there is a target, and it was."""
        return self.target is not None and self.best >= self.target

    def ask(self) -> Generation:
        """The next generation, CMA-ES's own first; of the last only what the budget still allows."""
        plan, count = self.plan, self.plan.departures
        self.asked = self.run.ask()
        own = perturb(torch.tensor(self.center), plan.noise_level, torch.tensor(np.array(self.asked)))
        noise = torch.tensor(self.random.standard_normal((count, len(self.center))))
        near = perturb(torch.tensor(self.center), plan.near, noise)
        rows = np.repeat(np.arange(len(own) + count), plan.samples_per_latent)[: self.max_samples - self.strings]
        departs = rows >= len(own)
        return Generation(
            torch.cat([own, near]).numpy()[rows],
            np.where(departs, plan.near, plan.noise_level),
            self.random.integers(0, 2**62, len(rows)),
            [self.origin if leaves else "" for leaves in departs],
        )

    def tell(self, molecules: Sequence[str]) -> None:
        """Take in what became of each row: a canonical SMILES, or "" where its string was no molecule."""
        self._learn(molecules)
        if self.done:  # the last generation may be short, which CMA-ES would not take
            return
        own = molecules[: len(self.asked) * self.plan.samples_per_latent]
        orders = [self.known[name].order if name in self.known else _NO_MOLECULE for name in own]
        rank = {order: place for place, order in enumerate(sorted(set(orders)))}
        costs = np.array([rank[order] for order in orders]).reshape(-1, self.plan.samples_per_latent).min(axis=1)
        self.run.tell(self.asked, costs.tolist())
        if self.run.countiter >= self.plan.generations:
            self._begin(self._next())

    def _learn(self, molecules: Sequence[str]) -> None:
        """Judge what is new among the strings of a generation; the start is no finding."""
        first = {name: place for place, name in reversed(list(enumerate(molecules, start=self.strings + 1)))}
        new = [name for name in dict.fromkeys(molecules) if name and name != self.start and name not in self.known]
        judged = self.goal.judge(self.start, new)
        for i, name in enumerate(new):
            self.evaluations += int(judged.gap[i] == 0)
            figures = {figure: float(values[i]) for figure, values in judged.figures.items()}
            score, gap = float(judged.score[i]), float(judged.gap[i])
            self.known[name] = Known(score, gap, figures, self.evaluations, first[name])
        self.strings += len(molecules)
        self.valid += sum(map(bool, molecules))

    def _next(self) -> str:
        """The best admissible molecule that no run has begun at; the start where there is none."""
        fresh = {name: known for name, known in self.found.items() if name not in self.begun}
        return max(fresh, key=lambda name: self._promise(fresh[name]), default=self.start)

    def _promise(self, known: Known) -> float:
        return known.score + self.plan.closeness * known.figures["similarity"]

    def _begin(self, name: str) -> None:
        """A run of CMA-ES at a molecule, in units of the noise level around its latent."""
        self.begun.add(name)
        try:
            self.center = latent_of(self.generator, name)
        except MoleculeError:  # the model can write it, not read it
            self._begin(self._next())
            return
        self.origin = name
        count = self.plan.population - self.plan.departures
        own = lambda *size: self.random.standard_normal(size)  # noqa: E731 - cma would seed and use NumPy's global one
        options = {"popsize": count, "CMA_diagonal": True, "randn": own, "seed": np.nan, "verbose": -9}
        self.run = import_extra("cma").CMAEvolutionStrategy(np.zeros(len(self.center)), 1.0, options)
