"""Formatting of table values for reading: few digits, yes and no, a dash or nothing for a missing value."""

from __future__ import annotations

import re
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

DASH = "–"

_HEADINGS = {name.lower(): name for name in ("QED", "SA", "NP", "logP", "MW", "TPSA", "HBD", "HBA", "Fsp3")}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DIRECTION = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


def format_text(value: Any) -> str:
    """A value as text; "" for None, NaN and NA."""
    return "" if value is None or value is pd.NA or value != value else str(value)


def format_cell(value: Any) -> str:
    """A value of a table with two decimals, or one if it is 100 or more; "" if it is missing.

    >>> [format_cell(value) for value in (0.4567, 320.55, 7, True, None)]
    ['0.46', '320.6', '7', 'yes', '']
    """
    if not (text := format_text(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
    return {"True": "yes", "False": "no"}.get(text, text)


def format_number(value: Any) -> str:
    """A metric with about three significant digits; a dash if it is missing.

    A value just below 1 gets more decimals rather than being rounded to 1.

    >>> [format_number(value) for value in (0.0812, 12.345, 30000, 0.9998, None)]
    ['0.081', '12.35', '30,000', '0.9998', '–']
    """
    if not format_text(value):
        return DASH
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if not isinstance(value, Real):
        return str(value)
    size = abs(float(value))
    if isinstance(value, Integral) or size >= 1000 or (size > 1 and float(value).is_integer()):
        return f"{value:,.0f}"
    if 0 < size < 0.001:
        return f"{value:.2g}"
    decimals = 3 if size <= 1 else 2 if size < 100 else 1
    while size < 1 == round(size, decimals) and decimals < 6:
        decimals += 1
    return f"{value:.{decimals}f}"


def format_column(values: pd.Series[Any]) -> list[str]:
    """The cells of a column; whole numbers have no decimals, even if missing values made the column float."""
    known = [value for value in values if isinstance(value, Real) and value == value]
    whole = not any(isinstance(value, (bool, np.bool_)) or not float(value).is_integer() for value in known)
    return [
        f"{value:,.0f}" if whole and isinstance(value, Real) and value == value else format_number(value)
        for value in values
    ]


def format_name(name: Any) -> str:
    """A column name as a heading: "rotatable_bonds" becomes "rotatable bonds", "logp" becomes "logP"."""
    return _HEADINGS.get(str(name), str(name).replace("_", " "))


def format_change(value: float, reference: float | None, decimals: int) -> str:
    """The change of a value from that of the seed, such as " (+0.4)"; "" without a seed.

    >>> format_change(1.93, 1.5, 1), format_change(1.93, None, 1), format_change(0.5, 0.5004, 2)
    (' (+0.4)', '', ' (0.00)')
    """
    if reference is None or reference != reference or value != value:
        return ""
    # the difference of the rounded values, because those are what is shown
    change = round(round(value, decimals) - round(reference, decimals), decimals) + 0.0
    return f" ({change:{'+' if change else ''}.{decimals}f})"


def clean_text(text: str) -> str:
    """Text for HTML and SVG without characters that XML does not allow, which become "\\ufffd", and without marks that
    change the direction of the text that follows.

    >>> clean_text("a\\x00b\\u202ec")
    'a\\ufffdbc'
    """
    return _DIRECTION.sub("", _NOT_XML.sub("\ufffd", text))
