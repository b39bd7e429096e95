"""What molecules are scored by: likeness to seeds, properties, a function of one's own; of molecules or of latents."""

from __future__ import annotations

import sys
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits, tanimoto_matrix
from molvae.chem.properties import compute
from molvae.errors import InputError, warn

Floats = NDArray[np.float64]


class MoleculeScore(Protocol):
    """A figure of molecules (N,), NaN where there is none; worker processes compute it."""

    def __call__(self, mols: Sequence[Chem.Mol]) -> Floats: ...


class LatentScore(Protocol):
    """A figure of latents (N, D) -> (N,); computed where the network is."""

    def __call__(self, latents: NDArray[np.float32]) -> Floats: ...


@dataclass(frozen=True)
class Tanimoto:
    """Similarity to the nearest seed, 0 to 1; seeds: (S, 256) packed Morgan fingerprints."""

    seeds: NDArray[np.uint8]

    def __call__(self, mols: Sequence[Chem.Mol]) -> Floats:
        return np.asarray(self.to_each(mols).max(axis=1), np.float64)

    def to_each(self, mols: Sequence[Chem.Mol]) -> NDArray[np.float32]:
        """Similarity to every seed: (N, S)."""
        return tanimoto_matrix(morgan_bits(mols), self.seeds)


@dataclass(frozen=True)
class Cosine:
    """Cosine of the angle to the nearest seed's latent, -1 to 1; seeds: (S, D)."""

    seeds: NDArray[np.float32]

    def __call__(self, latents: NDArray[np.float32]) -> Floats:
        return np.asarray(self.to_each(latents).max(axis=1), np.float64)

    def to_each(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine to every seed: (N, S)."""
        return np.asarray(_unit(latents) @ _unit(self.seeds).T, np.float32)


@dataclass(frozen=True)
class Property:
    """A property of the table in `chem.properties`."""

    name: str

    def __call__(self, mols: Sequence[Chem.Mol]) -> Floats:
        return compute(mols, [self.name])[self.name]


class ScoreWarning(UserWarning):
    """A function of one's own fails so often that it may be wrong; the molecules in question have no score."""


class Tolerant:
    """A function of one's own, an RDKit molecule in, a number out; what fails on a molecule gives it no score.

    What fails on all that are scored together gives a `ScoreWarning` with the first reason, once. It is no error: part
    of a library may be what the function is not made for.
    """

    def __init__(self, name: str, function: Callable[[Chem.Mol], float]) -> None:
        self.name, self.function, self.warned = name, function, False

    def __call__(self, mols: Sequence[Chem.Mol]) -> Floats:
        values, errors = list[float](), list[Exception]()
        for mol in mols:
            try:
                values.append(float(self.function(mol)))
            except Exception as error:  # whatever a stranger's function raises is about this molecule
                values.append(nan)
                errors.append(error)
        if mols and len(errors) == len(mols) and not self.warned:  # or, it may be, about all
            self.warned = True
            warn(
                f"{self.name} failed on each of {len(mols)} molecules, first with {errors[0]!r}; it is called with an "
                "RDKit Mol and returns a number, NaN where there is none",
                ScoreWarning,
            )
        return np.array(values, dtype=np.float64)


@dataclass(frozen=True)
class PythonScore:
    """A function of a file, as `Tolerant` has it; it warns once in each process.

    It carries its text, and so works in processes and on machines that do not have the file.
    """

    path: str
    name: str
    text: str

    @classmethod
    def read(cls, place: str) -> PythonScore:
        """From "FILE.py:function". Raises `InputError` where there is no such file or function."""
        path, _, name = place.rpartition(":")
        try:
            with tokenize.open(path) as file:  # in the encoding that it states, as Python reads it
                score = cls(path, name, file.read())
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot read the score {place!r}: {reason}; write FILE.py:FUNCTION") from None
        score._tolerant  # noqa: B018 - its errors now, and not out of a worker
        return score

    def __call__(self, mols: Sequence[Chem.Mol]) -> Floats:
        return self._tolerant(mols)

    @cached_property
    def _tolerant(self) -> Tolerant:
        return Tolerant(f"{self.path}:{self.name}", self._function)

    @cached_property
    def _function(self) -> Any:
        # under a name that is nobody else's among Python's modules, where dataclasses look theirs up
        module = ModuleType(f"{__name__}:{self.path}:{hash(self.text)}")
        module.__file__ = self.path
        sys.modules[module.__name__] = module
        try:
            exec(compile(self.text, self.path, "exec"), module.__dict__)
        except ModuleNotFoundError as error:
            beside = Path(self.path).with_name(f"{error.name}.py").exists()
            hint = "; a score has to stand in one file, for worker processes get no other" if beside else ""
            raise InputError(f"{self.path} cannot be run: {error!r}{hint}") from error
        except Exception as error:
            raise InputError(f"{self.path} cannot be run: {error!r}") from error
        if not callable(getattr(module, self.name, None)):
            raise InputError(f"{self.path} has no function {self.name!r}")
        return getattr(module, self.name)

    def __getstate__(self) -> dict[str, str]:
        return {"path": self.path, "name": self.name, "text": self.text}


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
