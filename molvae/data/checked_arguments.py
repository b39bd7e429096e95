"""Types of the arguments of public functions, checked once from their annotations: a wrong one is an `InputError`."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin

import numpy as np

from molvae.errors import MAX_COUNT, InputError, one_line

P = ParamSpec("P")
R = TypeVar("R")

Check = tuple[str, Callable[[Any], bool]]
"""What a value must be, and the function that tells whether it is."""

_SIMPLE: dict[Any, Check] = {
    int: ("a whole number", lambda value: isinstance(value, Integral) and not isinstance(value, bool | np.bool_)),
    float: ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)),
    bool: ("True or False", lambda value: isinstance(value, bool | np.bool_) or value in (0, 1)),
    str: ("text", lambda value: isinstance(value, str)),
    Path: ("a path", lambda value: isinstance(value, os.PathLike)),
    type(None): ("", lambda value: value is None),
    Mapping: ("a mapping", lambda value: isinstance(value, Mapping)),
    Sequence: ("a list", lambda value: isinstance(value, Iterable) and not isinstance(value, Mapping)),
    Collection: ("a list", lambda value: isinstance(value, Iterable)),
    Callable: ("a function", callable),
}

_LIMITS = {"random_state": 2**63 - 1}
"""Upper limits of whole numbers that are no counts, by the name of the argument."""


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: raise `InputError` for an argument of another type than its annotation.

    Numbers may be those of NumPy, but not NaN or infinite, and counts are at most 1,000,000,000; text is no number.
    Arguments whose annotation contains other types than numbers, text, paths, functions and collections are left to the
    function.
    """
    signature = inspect.signature(function)

    @functools.cache
    def checks() -> dict[str, list[Check]]:
        return {name: _checks_of(parameter, function) for name, parameter in signature.parameters.items()}

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # Python's own message about missing and unknown arguments
            return function(*args, **kwargs)
        for name, value in given.items():
            alternatives = checks().get(name)
            if alternatives and not any(test(value) for _, test in alternatives):
                expected = " or ".join(dict.fromkeys(text for text, _ in alternatives if text))
                raise InputError(f"{name} must be {expected}, got {one_line(repr(value), 80)}")
            limit = _LIMITS.get(name, MAX_COUNT)
            if alternatives and isinstance(value, Integral) and abs(int(value)) > limit:
                raise InputError(f"{name} must be {limit:,} or less, got {one_line(repr(value), 80)}")
        return function(*args, **kwargs)

    return checked


def _checks_of(parameter: inspect.Parameter, function: Callable[..., Any]) -> list[Check]:
    """The alternatives of an annotation; none if it contains a type that is not checked."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, vars(sys.modules[function.__module__]))
        except (NameError, TypeError, AttributeError):  # a type that only type checkers know, such as pd.Series[str]
            return []
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return []
    is_union = get_origin(annotation) in (Union, types.UnionType)
    kinds = [get_origin(kind) or kind for kind in (get_args(annotation) if is_union else [annotation])]
    if not all(kind in _SIMPLE for kind in kinds):
        return []
    return [_SIMPLE[kind] for kind in kinds]
