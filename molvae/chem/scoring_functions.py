"""Scoring functions: a list of SMILES in, one number for each out, NaN where there is none.

All functions of molvae that accept a user's score use this contract. `as_scoring_function` adapts to it a callable, a
function of one RDKit molecule, a function in a Python file, and the name of a property. A molecule for which a function
fails gets NaN; a failure never ends a run.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import tokenize
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from math import nan
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.expressions import python_file_hint as python_file_hint
from molvae.chem.properties import PROPERTIES, compute_properties, property_name
from molvae.chem.smiles import parse, silence_rdkit, write
from molvae.errors import InputError, MoleculeError, MolvaeWarning, did_you_mean, one_line, warn

Floats = NDArray[np.float64]
Item = TypeVar("Item")

CONTRACT = "a scoring function takes a list of SMILES and returns one number for each, or takes one RDKit Mol"


class ScoringFunctionWarning(MolvaeWarning):
    """A scoring function failed for some molecules, which have no score."""


class ScoringFunction(ABC):
    """A named score of molecules. Its `name` is used for its column, and in ranking expressions and filters."""

    name: str

    @abstractmethod
    def score_molecules(self, mols: Sequence[Chem.Mol]) -> Floats:
        """Return the scores of RDKit molecules: (N,), NaN where there is none."""

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns of `columns`."""
        return (self.name,)

    def columns(self, smiles: Sequence[str]) -> dict[str, Floats]:
        """Return the columns of a table of these SMILES: the score, (N,), and for models also its uncertainty."""
        return {self.name: self(smiles)}

    def __call__(self, smiles: Sequence[str]) -> Floats:
        """Return the scores of SMILES: (N,), NaN where there is none."""
        mols, positions = list[Chem.Mol](), list[int]()
        with silence_rdkit():
            for position, text in enumerate(smiles):
                try:
                    mols.append(parse(text))
                    positions.append(position)
                except MoleculeError:  # an invalid SMILES has no score
                    continue
        scores = np.full(len(smiles), nan)
        scores[positions] = self.score_molecules(mols)
        return scores


class PropertyFunction(ScoringFunction):
    """A property of `molvae.chem.properties`, such as "qed"."""

    def __init__(self, property_name: str, name: str | None = None) -> None:
        self.property_name, self.name = property_name, name or property_name

    def score_molecules(self, mols: Sequence[Chem.Mol]) -> Floats:
        """Return the property of RDKit molecules: (N,)."""
        scores: Floats = compute_properties(mols, [self.property_name])[self.property_name]
        return scores


class UserFunction(ScoringFunction):
    """A Python function of a list of SMILES, or of one RDKit molecule.

    The annotation or the name of the first parameter, such as `smiles` or `mol`, determines which of the two it is. If
    neither is conclusive, the function is called with a list of two SMILES: it is a function of a molecule unless it
    returns two numbers.

    Molecules for which the function raises an exception get NaN. The first failure issues a `ScoringFunctionWarning`.

    Parameters
    ----------
    function : callable
        The function.
    name : str
        Name of its column.
    label : str, optional
        Name for messages, such as "rules.py:heavy".
    """

    def __init__(self, function: Callable[..., Any], name: str, label: str = "") -> None:
        self.function, self.name, self.label = function, name, label or name
        self.warned = False

    def __call__(self, smiles: Sequence[str]) -> Floats:
        """Return the scores of SMILES: (N,). Raises `InputError` if the function does not return N numbers."""
        if not len(smiles):  # functions need not expect an empty list
            return np.zeros(0)
        if self.takes_mol:
            return super().__call__(smiles)
        try:
            returned = self.function(list(smiles))
        except Exception:  # a user's function may raise anything; call it per molecule to find which ones fail
            return self._score_each(lambda text: self._numbers(self.function([text]), 1)[0], smiles)
        return self._numbers(returned, len(smiles))

    def score_molecules(self, mols: Sequence[Chem.Mol]) -> Floats:
        """Return the scores of RDKit molecules: (N,)."""
        if self.takes_mol:
            return self._score_each(self.function, mols)
        return self([write(mol) for mol in mols])

    @cached_property
    def takes_mol(self) -> bool:
        """Whether the function is called with single molecules instead of a list of SMILES."""
        declared = _first_parameter_is_mol(self.function)
        if declared is not None:
            return declared
        try:
            self._numbers(self.function(["CCO", "c1ccccc1"]), 2)
        except Exception:
            return True
        return False

    def _numbers(self, returned: Any, count: int) -> Floats:
        """Convert the return value for `count` molecules to an array (count,). Raises `InputError` for other values."""
        try:
            scores = np.asarray(returned, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.label} must return one number for each molecule: {error}; {CONTRACT}") from error
        if scores.shape != (count,):
            got = f"an array of shape {scores.shape}" if scores.shape else "a single number"
            raise InputError(f"{self.label} must return {count} numbers for {count} molecules, got {got}; {CONTRACT}")
        return scores

    def _score_each(self, function: Callable[[Item], Any], items: Sequence[Item]) -> Floats:
        """Return `function` of each item, NaN where it fails: (N,)."""
        scores, errors = np.full(len(items), nan), list[tuple[Item, Exception]]()
        for position, item in enumerate(items):
            try:
                scores[position] = float(function(item))
            except Exception as error:  # a user's function may raise anything
                errors.append((item, error))
        if errors and not self.warned:
            self.warned = True
            first, exception = errors[0]
            smiles = write(first) if isinstance(first, Chem.Mol) else first
            warn(
                f"{self.label} failed for {len(errors):,} of {len(items):,} molecules, which have no score; first for "
                f"{smiles} with {exception!r}; {CONTRACT}",
                ScoringFunctionWarning,
            )
        return scores


class FileFunction(ScoringFunction):
    """A function in a Python file, as `UserFunction` calls it.

    It contains the source code of the file, so that it works in processes and on machines without access to the file.
    The file may import installed packages, but no other files of its folder. It warns once in each process.
    """

    def __init__(self, path: str, function_name: str, text: str, name: str | None = None) -> None:
        self.path, self.function_name, self.text, self.name = path, function_name, text, name or function_name

    @classmethod
    def from_spec(cls, spec: str, name: str | None = None) -> FileFunction:
        """Read "FILE.py:FUNCTION". Raises `InputError` if there is no such file or function, or if it cannot be run."""
        path, _, function_name = spec.rpartition(":")
        try:
            with tokenize.open(path) as file:  # in the encoding that the file states, as Python reads it
                function = cls(path, function_name, file.read(), name)
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot read the scoring function {spec!r}: {reason}; write FILE.py:FUNCTION") from None
        _ = function._function  # run the file now, so that an error is raised here and not in a worker process
        return function

    def __call__(self, smiles: Sequence[str]) -> Floats:
        """Return the scores of SMILES: (N,)."""
        return self._function(smiles)

    def score_molecules(self, mols: Sequence[Chem.Mol]) -> Floats:
        """Return the scores of RDKit molecules: (N,)."""
        return self._function.score_molecules(mols)

    @cached_property
    def _function(self) -> UserFunction:
        # registered under a unique name, because dataclasses look up their module in sys.modules
        module = ModuleType(f"{__name__}:{self.path}:{hash(self.text)}")
        module.__file__ = self.path
        sys.modules[module.__name__] = module
        try:
            exec(compile(self.text, self.path, "exec"), module.__dict__)
        except ModuleNotFoundError as error:
            is_neighbor = Path(self.path).with_name(f"{error.name}.py").exists()
            hint = "; it cannot import other files of its folder: use one file" if is_neighbor else ""
            raise InputError(f"{self.path} cannot be run: {error!r}{hint}") from error
        except Exception as error:
            raise InputError(f"{self.path} cannot be run: {error!r}") from error
        function = getattr(module, self.function_name, None)
        if not callable(function):
            known = [
                name for name, value in vars(module).items() if callable(value) and value.__module__ == module.__name__
            ]
            hint = did_you_mean(self.function_name, known)
            raise InputError(
                f"{self.path} has no function {self.function_name!r}{hint}; it defines {', '.join(known) or 'none'}"
            )
        return UserFunction(function, self.name, f"{self.path}:{self.function_name}")

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_function"}


def as_scoring_function(spec: str | Path | Callable[..., Any], name: str | None = None) -> ScoringFunction:
    """Adapt a user's scoring function to `ScoringFunction`.

    Parameters
    ----------
    spec : str, Path or callable
        A callable that takes a list of SMILES and returns one number for each (NaN where there is none); a function of
        one RDKit Mol that returns a number; "FILE.py:FUNCTION" with a function of either kind; or the name of a
        property. A fitted property model is such a callable.
    name : str, optional
        Name of the column. Default: the target of a property model, else the name of the function.

    Returns
    -------
    ScoringFunction

    Raises
    ------
    InputError
        If `spec` is none of these.

    Examples
    --------
    >>> def n_atoms(mol):
    ...     return mol.GetNumAtoms()
    >>> as_scoring_function(n_atoms)(["CCO", "C1CC"])
    array([ 3., nan])
    """
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise InputError(f"the name of a score must be text, got {name!r}")
    if isinstance(spec, ScoringFunction) and name in (None, spec.name):
        return spec
    if isinstance(spec, Path):
        spec = str(spec)
    if isinstance(spec, str):
        return _function_from_text(spec, name)
    if hasattr(spec, "as_scoring_function"):
        return cast(ScoringFunction, spec.as_scoring_function(name))
    if callable(spec) and not isinstance(spec, type):
        own_name = getattr(spec, "__name__", None) or type(spec).__name__
        return UserFunction(spec, name or column_name(str(own_name)))
    raise InputError(f"cannot use {one_line(repr(spec))} as a scoring function: {_WHAT_TO_GIVE}")


_WHAT_TO_GIVE = "give a function, FILE.py:FUNCTION, a property model or the name of a property"


def _function_from_text(text: str, name: str | None) -> ScoringFunction:
    """The function that a text names: FILE.py:FUNCTION or a property."""
    if hint := python_file_hint(text):
        raise InputError(f"cannot use {text!r} as a scoring function: {hint}")
    if ".py:" in text:
        return FileFunction.from_spec(text, name)
    if (known := property_name(text)) is not None:
        return PropertyFunction(known, name)
    if os.path.isdir(text):
        raise InputError(
            f"cannot use the folder {text!r} as a scoring function: load it with molvae.load_property_model first"
        )
    hint = did_you_mean(text, PROPERTIES)
    raise InputError(f"cannot use {one_line(text)!r} as a scoring function{hint}: {_WHAT_TO_GIVE}")


def as_scoring_functions(scores: Mapping[str, Any] | Iterable[Any] | Any) -> dict[str, ScoringFunction]:
    """Adapt a mapping from names, several scores, or one. Raises `InputError` if two have the same name."""
    if isinstance(scores, Mapping):
        return {name: as_scoring_function(spec, name) for name, spec in scores.items()}
    return by_name(as_scoring_function(spec) for spec in list_of_scores(scores))


def list_of_scores(scores: Any) -> list[Any]:
    """One score or several as a list; None is an empty list. Raises `InputError` for what is neither."""
    if scores is None:
        return []
    if isinstance(scores, str | Path) or callable(scores):
        return [scores]
    if not isinstance(scores, Iterable):
        raise InputError(f"scores must be a mapping from names, or a list; got {one_line(repr(scores))}")
    return list(scores)


def by_name(functions: Iterable[ScoringFunction]) -> dict[str, ScoringFunction]:
    """Return the functions by their names. Raises `InputError` if two have the same name."""
    found = dict[str, ScoringFunction]()
    for function in functions:
        if function.name in found:
            raise InputError(f"two scores are called {function.name!r}: rename one of them")
        found[function.name] = function
    return found


def column_name(text: str) -> str:
    """Replace characters that are not allowed in names of expressions: "size/1" becomes "size_1"."""
    return re.sub(r"\W+|^(?=\d)", "_", text)


def _first_parameter_is_mol(function: Callable[..., Any]) -> bool | None:
    """Whether the first parameter of a function is an RDKit molecule, or a list of SMILES; None if it is not clear."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some functions written in C have no signature
        return None
    if not parameters or parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return None
    annotation, name = str(parameters[0].annotation), parameters[0].name.lower()
    if re.search(r"\b(list|List|Sequence|Iterable|Collection)\b", annotation) or name.startswith("smi"):
        return False
    if re.search(r"\bMol\b", annotation) or name in ("m", "mol", "molecule", "rdmol", "rdkit_mol"):
        return True
    return None
