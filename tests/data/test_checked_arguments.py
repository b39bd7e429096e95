"""Arguments of public functions: a wrong type is an `InputError` that names the argument and its value."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from molvae.data.checked_arguments import checked_arguments
from molvae.errors import InputError


@checked_arguments
def function(
    smiles: Any,
    n: int = 1,
    *,
    level: float | None = None,
    exact: bool = False,
    path: str | Path = "x",
    names: str | Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Any, ...]:
    """Summary."""
    return smiles, n, level, exact, path, names, options, progress


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": "3"}, "n must be a whole number, got '3'"),
        ({"n": 2.5}, "n must be a whole number, got 2.5"),
        ({"n": True}, "n must be a whole number, got True"),
        ({"n": None}, "n must be a whole number, got None"),
        ({"n": 10**20}, "n must be 1,000,000,000 or less, got 100000000000000000000"),
        ({"n": np.int64(2**40)}, "n must be 1,000,000,000 or less, got np.int64(1099511627776)"),
        ({"level": "hot"}, "level must be a number, got 'hot'"),
        ({"level": float("nan")}, "level must be a number, got nan"),
        ({"level": float("inf")}, "level must be a number, got inf"),
        ({"exact": "yes"}, "exact must be True or False, got 'yes'"),
        ({"path": 5}, "path must be text or a path, got 5"),
        ({"names": 5}, "names must be text or a list, got 5"),
        ({"options": 5}, "options must be a mapping, got 5"),
        ({"progress": 5}, "progress must be a function, got 5"),
    ],
)
def test_wrong_types(arguments, message):
    with pytest.raises(InputError) as caught:
        function("CCO", **arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "arguments",
    [{}, {"n": np.int64(3)}, {"level": 1}, {"level": np.float32(0.5)}, {"level": None}, {"exact": np.True_},
     {"exact": 1}, {"path": Path("x")}, {"names": ["a"]}, {"names": np.array(["a"])}, {"names": {"a"}}, {"options": {}},
     {"progress": print}],
)  # fmt: skip
def test_right_types(arguments):
    assert function(5, **arguments)[0] == 5


def test_signature_and_docstring_are_kept():
    assert function.__doc__ == "Summary."
    assert list(inspect.signature(function).parameters)[:2] == ["smiles", "n"]
    with pytest.raises(TypeError, match="unexpected keyword"):
        function("CCO", nn=3)


def test_public_functions_check_their_arguments(tiny):
    with pytest.raises(InputError, match="temperature must be a number, got 'hot'"):
        tiny.analogs("CCO", 3, temperature="hot")
    with pytest.raises(InputError, match="n must be a whole number, got '3'"):
        tiny.sample("3")


def test_types_for_type_checkers_only_are_not_checked():
    @checked_arguments
    def with_series(labels: pd.Series[str] | None = None, other: Unknown | None = None) -> Any:  # noqa: F821
        return labels, other

    assert with_series(5, other=5) == (5, 5)


def _public_functions() -> dict[str, Callable[..., Any]]:
    """The functions of `molvae` and `molvae.explore`, and the methods of the classes that they return."""
    import molvae
    from molvae import explore
    from molvae.generator import Generator
    from molvae.library.indexed_library import IndexedLibrary

    functions = {}
    for owner in (molvae, explore, Generator, IndexedLibrary):
        for name in getattr(owner, "__all__", None) or dir(owner):
            member = getattr(owner, name, None) if not name.startswith("_") else None
            if inspect.isroutine(member) and hasattr(inspect.unwrap(member), "__code__"):
                functions[f"{owner.__name__.removeprefix('molvae.')}.{name}"] = member
    return functions


FUNCTIONS = _public_functions()
BAD = {
    int: ["3", 2.5, float("nan"), float("inf"), True, [1], 10**20],
    float: ["0.5", float("nan"), float("-inf"), [0.5]],
    bool: ["yes", 2],
}
GOOD = {int: np.int32(1), float: np.float32(0.5), str: "x", Path: Path("x")}


def _arguments() -> list[tuple[str, str, Any]]:
    """Function, argument and bad value, for the arguments that are only numbers, text and paths."""
    cases = []
    for name, function in FUNCTIONS.items():
        if not hasattr(function, "__wrapped__"):
            continue
        for argument, kinds in _kinds(function).items():
            if kinds and kinds <= {int, float, bool, type(None)}:
                values = BAD[next(kind for kind in (float, int, bool) if kind in kinds)]
                cases += [(name, argument, value) for value in [*values, *([] if type(None) in kinds else [None])]]
            elif Path in kinds and kinds <= {str, Path, type(None)}:
                cases += [(name, argument, value) for value in (5, ["a"])]
    return cases


def _kinds(function: Callable[..., Any]) -> dict[str, set[Any]]:
    """The types of each argument; none for an annotation that only type checkers can read."""
    plain = inspect.unwrap(function)
    kinds: dict[str, set[Any]] = {}
    for argument, parameter in inspect.signature(function).parameters.items():
        try:
            hint = eval(str(parameter.annotation), vars(sys.modules[plain.__module__]))
        except (NameError, TypeError, AttributeError, SyntaxError):
            hint = Any
        is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kinds[argument] = set(typing.get_args(hint)) if is_union else {hint}
    return kinds


@pytest.mark.parametrize(("name", "argument", "value"), _arguments())
def test_bad_arguments_of_public_functions(name, argument, value):
    """The message names the argument; the other arguments are right."""
    function, kinds = FUNCTIONS[name], _kinds(FUNCTIONS[name])
    required = {n for n, p in inspect.signature(function).parameters.items() if p.default is p.empty} - {argument}
    others = {n: next((GOOD[kind] for kind in (int, float, str, Path) if kind in kinds[n]), []) for n in required}
    with pytest.raises(InputError, match=rf"^{argument} must be "):
        function(**others, **{argument: value})


def test_many_functions_are_checked():
    checked = {name for name, _, _ in _arguments()}
    assert {"Generator.analogs", "Generator.sample", "explore.cluster", "IndexedLibrary.search"} <= checked
    assert {"molvae.screen", "molvae.score", "molvae.index", "molvae.load"} <= checked
