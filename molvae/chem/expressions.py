"""Filters and ranking expressions as text: "mw<500", "logp 1:4", "similarity - 0.2*sa"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf
from typing import Self

import numpy as np
from numpy.typing import NDArray

from molvae.chem.properties import PROPERTIES
from molvae.errors import InputError, did_you_mean

_UNSIGNED = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = rf"[+-]?{_UNSIGNED}"
_BOUND = re.compile(rf"\s*(\w+)\s*(<=|>=|<|>|=)\s*({_NUMBER})\s*")
_RANGE = re.compile(rf"\s*(\w+)(?:\s*=\s*|\s+)(?!\s*:\s*$)({_NUMBER})?\s*:\s*({_NUMBER})?\s*")
_TERM = re.compile(rf"\s*([+-]?)\s*(?:({_UNSIGNED})\s*\*\s*)?([A-Za-z_]\w*)\s*")


@dataclass(frozen=True)
class PropertyFilter:
    """A range of a property: from `low` to `high`, both included unless `exclusive` ("<" and ">").

    >>> PropertyFilter.from_text("mw<500").accepts(180.2)
    True
    >>> str(PropertyFilter.from_text("logp 1:4"))
    'logp 1:4'
    """

    name: str
    low: float = -inf
    high: float = inf
    exclusive: bool = False

    @classmethod
    def from_text(cls, text: str, known: Sequence[str] = ()) -> Self:
        """Parse "mw<500", "qed>=0.5", "charge=0", "logp 1:4" or "sa :3".

        Parameters
        ----------
        text : str
        known : sequence of str
            Names that are valid besides those of `PROPERTIES`, such as "similarity".

        Returns
        -------
        PropertyFilter

        Raises
        ------
        InputError
            For an unknown name, text that cannot be parsed, or an empty range.
        """
        if match := _BOUND.fullmatch(text):
            name, sign, number = match[1], match[2], float(match[3])
            bounds = {"<": (-inf, number), ">": (number, inf), "=": (number, number)}[sign[0]]
            parsed = cls(_check_name(name, known), *bounds, exclusive=sign in "<>")
        elif match := _RANGE.fullmatch(text):
            parsed = cls(_check_name(match[1], known), float(match[2] or -inf), float(match[3] or inf))
        else:
            raise InputError(f"cannot read the filter {text!r}: write it like mw<500, qed>=0.5 or 'logp 1:4'")
        if parsed.low > parsed.high:
            raise InputError(f"the range of the filter {text!r} is empty: {parsed.low:g} is above {parsed.high:g}")
        return parsed

    def __str__(self) -> str:
        """The filter as text that `from_text` parses."""
        if self.low == self.high:
            return f"{self.name}={self.low:g}"
        if isinf(self.low) or isinf(self.high):
            sign, bound = ("<", self.high) if isinf(self.low) else (">", self.low)
            return f"{self.name}{sign}{'' if self.exclusive else '='}{bound:g}"
        return f"{self.name} {self.low:g}:{self.high:g}"

    def accepts(self, value: float) -> bool:
        """Whether a value is in the range; NaN is not."""
        if self.exclusive:
            return self.low < value < self.high
        return self.low <= value <= self.high


@dataclass(frozen=True)
class RankExpression:
    """A weighted sum by which molecules are ranked, highest first; `terms` are pairs of name and weight.

    >>> RankExpression.from_text("qed - 0.2*sa").terms
    (('qed', 1.0), ('sa', -0.2))
    """

    terms: tuple[tuple[str, float], ...]

    @classmethod
    def from_text(cls, text: str, known: Sequence[str] = ()) -> Self:
        """Parse "qed", "-sa" or "similarity - 0.2*sa + qed"; `known` as in `PropertyFilter.from_text`.

        Raises `InputError` for an unknown name or text that cannot be parsed.
        """
        terms, position = [], 0
        while position < len(text):
            match = _TERM.match(text, position)
            if match is None or (position and not match[1]):
                raise InputError(f"cannot read the ranking {text!r}: write it like qed, -sa or 'similarity - 0.2*sa'")
            name = _check_name(match[3], known)
            terms.append((name, float(match[2] or 1) * (-1 if match[1] == "-" else 1)))
            position = match.end()
        if not terms:
            raise InputError("the ranking is empty: write it like qed, -sa or 'similarity - 0.2*sa'")
        return cls(tuple(terms))

    @property
    def names(self) -> tuple[str, ...]:
        """The distinct names in the expression."""
        return tuple(dict.fromkeys(name for name, _ in self.terms))

    def evaluate(self, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The weighted sum for each of N rows, (N,); NaN where a value is NaN."""
        total: NDArray[np.float64] = np.sum([w * np.asarray(columns[name], float) for name, w in self.terms], axis=0)
        return total


def _check_name(name: str, known: Sequence[str]) -> str:
    if name in known or name in PROPERTIES:
        return name
    names = [*known, *PROPERTIES]
    raise InputError(f"unknown property {name!r}{did_you_mean(name, names)}; known: {', '.join(names)}")
