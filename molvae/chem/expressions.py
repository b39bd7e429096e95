"""Filters and ranking expressions as text: "mw<500", "300<mw<400", "logp 1:4", "similarity - 0.2*sa"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isinf, nextafter
from typing import Self

import numpy as np
from numpy.typing import NDArray

from molvae.chem.properties import PROPERTIES, property_name
from molvae.errors import InputError, did_you_mean, one_line

_UNSIGNED = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = rf"[+-]?{_UNSIGNED}"
_SIGN = r"<=|>=|==|<|>|="
_NAME = r"(?!\d)\w+"
_BOUND = re.compile(rf"\s*({_NAME})\s*({_SIGN})\s*({_NUMBER})\s*")
_REVERSED_BOUND = re.compile(rf"\s*({_NUMBER})\s*({_SIGN})\s*({_NAME})\s*")
_TWO_BOUNDS = re.compile(rf"\s*({_NUMBER})\s*(<=?|>=?)\s*({_NAME})\s*(<=?|>=?)\s*({_NUMBER})\s*")
_RANGE = re.compile(rf"\s*({_NAME})(?:\s*==?\s*|\s+)(?!\s*:\s*$)({_NUMBER})?\s*:\s*({_NUMBER})?\s*")
_TERM = re.compile(rf"\s*([+-]?)\s*(?:({_UNSIGNED})\s*\*\s*)?({_NAME})(?:\s*\*\s*({_UNSIGNED}))?\s*")
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "==": "="}
_FIGURES = str.maketrans({"≤": "<=", "≥": ">=", "−": "-", "–": "-"})
_HOW_TO_FILTER = "write it like mw<500, 300<mw<400, qed>=0.5 or 'logp 1:4'"
_HOW_TO_RANK = "write it like qed, -sa or 'similarity - 0.2*sa'"
_SCALES = {"similarity": (0.0, 1.0), "tanimoto": (0.0, 1.0)}
"""Ranges of values that are not properties."""


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
        """Parse "mw<500", "300<mw<400", "qed>=0.5", "charge=0", "logp 1:4" or "sa :3".

        Properties may be in any case and have their common other names, such as MW, psa and clogp.

        Parameters
        ----------
        text : str
        known : sequence of str
            Names that are valid besides those of `PROPERTIES`, such as "similarity"; they may contain spaces.

        Returns
        -------
        PropertyFilter

        Raises
        ------
        InputError
            For an unknown name, text that cannot be parsed, a range that is empty or outside the range of the
            property, and for equality with a number that a property does not have.
        """
        if not isinstance(text, str):
            raise InputError(f"a filter is text such as 'mw<500', got {text!r}")
        names = _Names(known)
        plain = names.encode(text.translate(_FIGURES))
        if match := _TWO_BOUNDS.fullmatch(plain):
            first, sign, name, second_sign, second = match.groups()
            if sign[0] != second_sign[0]:
                raise InputError(f"cannot read the filter {text!r}: {sign} and {second_sign} have different directions")
            ends = [(float(first), sign), (float(second), second_sign)]
            (low, low_sign), (high, high_sign) = ends if sign[0] == "<" else reversed(ends)
            exclusive = len(low_sign) == len(high_sign) == 1
            if not exclusive:  # one end is excluded: the range begins or ends at the next number
                low = low if len(low_sign) == 2 else nextafter(low, inf)
                high = high if len(high_sign) == 2 else nextafter(high, -inf)
            parsed = cls(names.find(name), low, high, exclusive)
        elif match := _BOUND.fullmatch(plain):
            parsed = cls._from_bound(names.find(match[1]), match[2], float(match[3]))
        elif match := _REVERSED_BOUND.fullmatch(plain):
            parsed = cls._from_bound(names.find(match[3]), _MIRRORED[match[2]], float(match[1]))
        elif match := _RANGE.fullmatch(plain):
            parsed = cls(names.find(match[1]), float(match[2] or -inf), float(match[3] or inf))
        else:
            raise InputError(f"cannot read the filter {one_line(text)!r}: {_hint(plain)}{_HOW_TO_FILTER}")
        parsed._check(text)
        return parsed

    @classmethod
    def _from_bound(cls, name: str, sign: str, number: float) -> Self:
        bounds = {"<": (-inf, number), ">": (number, inf), "=": (number, number)}[sign[0]]
        return cls(name, *bounds, exclusive=sign in "<>")

    def _check(self, text: str) -> None:
        """Raise `InputError` for a range that no value, or practically none, is in."""
        low, high, name = self.low, self.high, self.name
        if low == inf or high == -inf or (isinf(low) and isinf(high)):
            raise InputError(f"the filter {text!r} has a number that is too large")
        if low > high or (low == high and self.exclusive):
            raise InputError(f"the range of the filter {text!r} is empty: no number is in it")
        smallest, largest = PROPERTIES[name].range if name in PROPERTIES else _SCALES.get(name, (-inf, inf))
        if low > largest or high < smallest:
            scale = f"from {smallest:g} to {largest:g}" if isfinite(largest) else f"from {smallest:g} up"
            raise InputError(f"the filter {text!r} accepts no molecule: {name} is {scale}")
        if low == high and name in PROPERTIES and low not in (smallest, largest) and ":" not in text:
            self._check_equality(text)

    def _check_equality(self, text: str) -> None:
        """Raise `InputError` for equality of a continuous property, or of a count with a fraction."""
        name, value = self.name, self.low
        if PROPERTIES[name].unit in ("count", "e"):
            if value != round(value):
                raise InputError(f"the filter {text!r} accepts no molecule: {name} is a whole number")
            return
        low, high = (float(f"{value + side * (abs(value) * 0.05 or 0.1):.3g}") for side in (-1, 1))
        raise InputError(
            f"the filter {text!r} accepts practically no molecule, because {name} is not a whole number: give a range, "
            f"such as '{name} {low:g}:{high:g}'"
        )

    def __str__(self) -> str:
        """The filter as text that `from_text` parses."""
        if self.low == self.high:
            return f"{self.name}={self.low:g}"
        if isinf(self.low) or isinf(self.high):
            sign, bound = ("<", self.high) if isinf(self.low) else (">", self.low)
            return f"{self.name}{sign}{'' if self.exclusive else '='}{bound:g}"
        if self.exclusive:
            return f"{self.low:g}<{self.name}<{self.high:g}"
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
    >>> str(RankExpression.from_text("-sa+2*qed"))
    '-sa + 2*qed'
    """

    terms: tuple[tuple[str, float], ...]

    @classmethod
    def from_text(cls, text: str, known: Sequence[str] = ()) -> Self:
        """Parse "qed", "-sa" or "similarity - 0.2*sa + qed"; `known` as in `PropertyFilter.from_text`.

        Raises `InputError` for an unknown name or text that cannot be parsed.
        """
        if not isinstance(text, str):
            raise InputError(f"a ranking is text such as 'qed' or 'similarity - 0.2*sa', got {text!r}")
        names = _Names(known)
        terms, position, plain = [], 0, names.encode(text.translate(_FIGURES))
        if not plain.strip():
            raise InputError(f"the ranking is empty: {_HOW_TO_RANK}")
        if hint := python_file_hint(text):
            raise InputError(f"cannot rank by {one_line(text)!r}: {hint}")
        while position < len(plain):
            match = _TERM.match(plain, position)
            if match is None or (position and not match[1]) or (match[2] and match[4]):
                raise InputError(f"cannot read the ranking {one_line(text)!r}: {_HOW_TO_RANK}")
            weight = float(match[2] or match[4] or 1)
            if not isfinite(weight):
                raise InputError(f"the ranking {one_line(text)!r} has a number that is too large")
            terms.append((names.find(match[3]), -weight if match[1] == "-" else weight))
            position = match.end()
        return cls(tuple(terms))

    def __str__(self) -> str:
        """The expression as text that `from_text` parses."""
        text = " ".join(
            f"{'-' if weight < 0 else '+'} {'' if abs(weight) == 1 else f'{abs(weight):g}*'}{name}"
            for name, weight in self.terms
        )
        return f"-{text[2:]}" if text.startswith("-") else text[2:]

    @property
    def names(self) -> tuple[str, ...]:
        """The distinct names in the expression."""
        return tuple(dict.fromkeys(name for name, _ in self.terms))

    def evaluate(self, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The weighted sum for each of N rows, (N,); NaN where a value is NaN."""
        total: NDArray[np.float64] = np.sum([w * np.asarray(columns[name], float) for name, w in self.terms], axis=0)
        return total


class _Names:
    """The names that an expression may use. Those with spaces or signs are replaced by words before it is parsed."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = list(known)
        self.encoded = {f"_known{number}_": name for number, name in enumerate(self.known) if not name.isidentifier()}
        spaced = [name.replace("_", " ") for name in PROPERTIES if "_" in name]  # "heavy atoms"
        self.encoded |= {f"_property{number}_": name for number, name in enumerate(spaced)}

    def encode(self, text: str) -> str:
        """The text with a word in place of each name that is not one, the longest names first."""
        for word, name in sorted(self.encoded.items(), key=lambda item: -len(item[1])):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text, flags=re.IGNORECASE)
        return text

    def find(self, name: str) -> str:
        """The known name or property that is meant. Raises `InputError` if there is none."""
        name = self.encoded.get(name, name)
        if name in self.known:
            return name
        if name in PROPERTIES:
            return name
        same = [other for other in self.known if _word(other) == _word(name)]
        if len(same) == 1:
            return same[0]
        if (found := property_name(name)) is not None:
            return found
        names = [*self.known, *PROPERTIES]
        raise InputError(f"unknown property {name!r}{did_you_mean(name, names)}; known: {', '.join(names)}")


def _word(name: str) -> str:
    """A name with underscores for other characters, without case: "logS measured" as it may be written in one word."""
    return re.sub(r"\W+", "_", name).casefold()


def python_file_hint(text: str) -> str:
    """What to write instead of the name of a Python file without a function; "" for other text."""
    name = text.strip().removesuffix(":")
    if not name.endswith(".py") or any(char in name for char in "*<>"):
        return ""
    return f"{name} is a file: name the function in it, {name}:FUNCTION"


def _hint(text: str) -> str:
    """What to change in a filter with a common mistake; "" for others."""
    if re.search(r"\b(?:and|or)\b|&|\||;|,", text):
        return "give each filter its own --filter (in Python: a list); "
    if re.fullmatch(rf"\s*{_NAME}\s*[=:]?\s*{_UNSIGNED}\s*(?:-|\.\.|to)\s*{_UNSIGNED}\s*", text):
        return "a range has a colon; "
    if re.fullmatch(rf"\s*{_NAME}\s*", text):
        return "it has no bound; "
    return ""
