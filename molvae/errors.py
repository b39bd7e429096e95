"""Exceptions and warnings of molvae, and helpers for error messages. Imports no other module of the package."""

from __future__ import annotations

import importlib
import sys
import traceback
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

MAX_MESSAGE = 2000
"""Characters of the message of an error. Longer ones lose their middle: the end often says how to fix it."""

MAX_LINE = 400
"""Characters of the message about a molecule, which is one line."""

MAX_COUNT = 1_000_000_000
"""Upper limit of counts in options and arguments, such as a number of molecules; larger ones are mistakes."""


class MolvaeError(Exception):
    """Base class of all exceptions that molvae raises on purpose.

    Messages may quote any input, so control characters other than line breaks are escaped, and long messages are
    shortened.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*(self._clean(argument) if isinstance(argument, str) else argument for argument in args))

    @staticmethod
    def _clean(message: str) -> str:
        return "\n".join(one_line(line, MAX_MESSAGE) for line in _cut(message, MAX_MESSAGE).split("\n"))


class InputError(MolvaeError, ValueError):
    """An argument, option or file that cannot be used."""


class MoleculeError(InputError):
    """A molecule that cannot be parsed or represented. Batch functions catch it and continue with the next row.

    The message is one line of at most 400 characters, whatever the input contains.
    """

    @staticmethod
    def _clean(message: str) -> str:
        return one_line(message)


class CheckpointError(MolvaeError):
    """A model directory that is missing, incomplete, damaged, or written by another version."""


class MissingExtraError(MolvaeError, ImportError):
    """An optional dependency that is not installed. The message names the extra that installs it."""


class MolvaeWarning(UserWarning):
    """The result is incomplete: some rows were invalid, or fewer molecules were found than requested."""


def one_line(text: str, limit: int = MAX_LINE) -> str:
    """Text for a message: control characters, line breaks and lone surrogates are escaped, and long text is shortened.

    >>> one_line("C\\n\\x1b[31mC")
    'C\\\\n\\\\x1b[31mC'
    >>> one_line("C" * 1000, limit=20)
    'CCCCCCCCCC ... CCCCC'
    """
    text = _cut(text, limit)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return _cut(text, limit)


def _cut(text: str, limit: int) -> str:
    """Replace the middle of a text that is longer than `limit`."""
    if len(text) <= limit:
        return text
    end = (limit - 5) // 3
    return f"{text[: limit - 5 - end]} ... {text[len(text) - end :]}"


def warn(message: str, category: type[Warning] = MolvaeWarning) -> None:
    """Issue a warning that points at the code that called molvae.

    The stack level is that of the outermost molvae frame, so the reported line is the user's even when the call went
    through another library in between.
    """
    stack = enumerate(traceback.walk_stack(sys._getframe()), start=1)
    levels = [level for level, (frame, _) in stack if frame.f_globals.get("__name__", "").partition(".")[0] == "molvae"]
    warnings.warn(message, category, stacklevel=levels[-1] + 1)


def import_extra(name: str, extra: str = "explore") -> Any:
    """Import a module of an optional dependency.

    Parameters
    ----------
    name : str
        Dotted name of the module, such as "sklearn.cluster".
    extra : str
        The extra of molvae that installs it, such as "fit".

    Returns
    -------
    module

    Raises
    ------
    MissingExtraError
        If the module cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        message = f"{package} is required but cannot be imported ({error}); run: pip install 'molvae[{extra}]'"
        raise MissingExtraError(message) from error


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """A hint for the error message about an unknown name: the most similar known name, ignoring case.

    >>> f"unknown property 'tpza'{did_you_mean('tpza', ['mw', 'tpsa'])}"
    "unknown property 'tpza' (did you mean 'tpsa'?)"
    >>> did_you_mean("solubility", ["mw", "tpsa"])
    ''
    """
    names = {name.lower(): name for name in known}
    nearest = get_close_matches(value.lower(), names, n=1)
    return f" (did you mean {names[nearest[0]]!r}?)" if nearest else ""
