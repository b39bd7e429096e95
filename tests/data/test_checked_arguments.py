"""Arguments of public functions: a wrong type is an `InputError` that names the argument and its value."""

from __future__ import annotations

import inspect
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
