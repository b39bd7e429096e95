"""Wishes about properties, in words: windows such as "mw<500" and "logp 1:4", ranks such as "similarity - 0.2*sa"."""

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

_FIGURE = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = rf"[+-]?{_FIGURE}"
_BOUND = re.compile(rf"\s*(\w+)\s*(<=|>=|<|>|=)\s*({_NUMBER})\s*")
_RANGE = re.compile(rf"\s*(\w+)(?:\s*=\s*|\s+)(?!\s*:\s*$)({_NUMBER})?\s*:\s*({_NUMBER})?\s*")
_TERM = re.compile(rf"\s*([+-]?)\s*(?:({_FIGURE})\s*\*\s*)?([A-Za-z_]\w*)\s*")


@dataclass(frozen=True)
class PropertyFilter:
    """What a property may be: `low` to `high`, both allowed unless `exclusive` (of "<" and ">")."""

    name: str
    low: float = -inf
    high: float = inf
    exclusive: bool = False

    @classmethod
    def from_text(cls, text: str, known: Sequence[str] = ()) -> Self:
        """From "mw<500", "qed>=0.5", "charge=0", "logp 1:4", "sa :3"; `known` names figures that are no properties.

        Raises `InputError`, with the nearest name.
        """
        if match := _BOUND.fullmatch(text):
            name, sign, number = match[1], match[2], float(match[3])
            bounds = {"<": (-inf, number), ">": (number, inf), "=": (number, number)}[sign[0]]
            window = cls(_figure(name, known), *bounds, exclusive=sign in "<>")
        elif match := _RANGE.fullmatch(text):
            window = cls(_figure(match[1], known), float(match[2] or -inf), float(match[3] or inf))
        else:
            raise InputError(f"cannot read the wish {text!r}: write it like mw<500, qed>=0.5 or 'logp 1:4'")
        if window.low > window.high:
            raise InputError(f"nothing can fit {text!r}: {window.low:g} is more than {window.high:g}")
        return window

    def __str__(self) -> str:
        """As it could be written: "mw<500", "logp 1:4"."""
        if self.low == self.high:
            return f"{self.name}={self.low:g}"
        if isinf(self.low) or isinf(self.high):
            sign, bound = ("<", self.high) if isinf(self.low) else (">", self.low)
            return f"{self.name}{sign}{'' if self.exclusive else '='}{bound:g}"
        return f"{self.name} {self.low:g}:{self.high:g}"

    def accepts(self, value: float) -> bool:
        """Whether a value lies in the window; NaN does not."""
        if self.exclusive:
            return self.low < value < self.high
        return self.low <= value <= self.high


@dataclass(frozen=True)
class RankExpression:
    """A weighted sum of figures, the highest first: (name, weight) of each."""

    terms: tuple[tuple[str, float], ...]

    @classmethod
    def from_text(cls, text: str, known: Sequence[str] = ()) -> Self:
        """From "qed", "-sa", "similarity - 0.2*sa + qed"; `known` names figures that are no properties."""
        terms, at = [], 0
        while at < len(text):
            match = _TERM.match(text, at)
            if match is None or (at and not match[1]):
                raise InputError(f"cannot read the rank {text!r}: write it like qed, -sa or 'similarity - 0.2*sa'")
            name = _figure(match[3], known)
            terms.append((name, float(match[2] or 1) * (-1 if match[1] == "-" else 1)))
            at = match.end()
        if not terms:
            raise InputError("the rank is empty: write it like qed, -sa or 'similarity - 0.2*sa'")
        return cls(tuple(terms))

    @property
    def names(self) -> tuple[str, ...]:
        """The figures that it needs, each once."""
        return tuple(dict.fromkeys(name for name, _ in self.terms))

    def evaluate(self, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The sum for each row of the columns."""
        total: NDArray[np.float64] = np.sum([w * np.asarray(columns[name], float) for name, w in self.terms], axis=0)
        return total


def _figure(name: str, known: Sequence[str]) -> str:
    """The name of a property, or one of `known`. Raises `InputError` naming the nearest of both."""
    if name in known:
        return name
    if name in PROPERTIES:
        return name
    every = [*known, *PROPERTIES]
    raise InputError(f"unknown property {name!r}{did_you_mean(name, every)}; known: {', '.join(every)}")
