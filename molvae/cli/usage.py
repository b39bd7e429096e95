"""Usage errors: the values of all options are checked before a command runs, and each error is one line."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from molvae.errors import MAX_COUNT, did_you_mean, one_line

UsageError: Any = typer.BadParameter.__mro__[1]
"""The usage error of the version of click that typer uses."""


class Command(TyperCommand):
    """A command that rejects values that no option can have: absurd and infinite numbers, and empty text."""

    def make_context(self, info_name: str | None, args: list[str], *others: Any, **kwargs: Any) -> Any:
        """Parse the arguments, and check the value of each option."""
        given = list(args)  # the parser consumes the others
        context = super().make_context(info_name, args, *others, **kwargs)
        for parameter in self.params:
            source = str(getattr(context.get_parameter_source(parameter.name or ""), "name", ""))
            value = context.params.get(parameter.name or "")
            if source != "COMMANDLINE":
                continue
            if _is_empty_path(value, parameter, given):
                raise bad_parameter("must not be empty", parameter, context)
            if problem := _problem(value, parameter):
                raise bad_parameter(problem, parameter, context)
        return context


def _is_empty_path(value: Any, parameter: Any, arguments: list[str]) -> bool:
    """Whether a path was given as empty text, which becomes the current folder when it is converted."""
    if value != Path() or parameter.param_type_name != "option":
        return False
    pairs = list(pairwise(arguments))
    return any(f"{name}=" in arguments or (name, "") in pairs for name in parameter.opts)


def bad_parameter(message: str, parameter: Any, context: Any = None) -> typer.BadParameter:
    """The usage error of a value of an option."""
    return typer.BadParameter(message, ctx=context, param=parameter)


def _problem(value: Any, parameter: Any) -> str:
    """Why an option cannot have a value; "" if it can."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, got {value}"
    if isinstance(value, int) and getattr(parameter, "max", None) is None and abs(value) > MAX_COUNT:
        return f"must be {MAX_COUNT:,} or less, got {value}"
    is_option = parameter.param_type_name == "option"
    for text in value if isinstance(value, list | tuple) else [value]:
        if isinstance(text, str) and not text.strip() and is_option and parameter.default != "":
            return "must not be empty: leave the option out to use its default"
        if isinstance(text, str | Path) and "\0" in str(text):
            return "must not contain a null character"
    return ""


def one_of(*choices: str) -> Callable[[typer.CallbackParam, str], str]:
    """The callback of an option that takes one of several names; others raise a usage error."""

    def check(parameter: typer.CallbackParam, value: str) -> str:
        if value is not None and value not in choices:
            known = ", ".join(choices[:-1]) + f" or {choices[-1]}"
            raise bad_parameter(f"must be {known}, got {one_line(value)!r}{did_you_mean(value, choices)}", parameter)
        return value

    return check


def usage_message(error: Any) -> str:
    """A usage error in one line: the option, the value, the rule and the command whose help describes it."""
    context = getattr(error, "ctx", None)
    hint = f"; see `{_command_path(context)} --help`" if context is not None else ""
    parameter = getattr(error, "param", None)
    if isinstance(error, typer.BadParameter) and parameter is not None and type(error) is typer.BadParameter:
        names = "/".join(sorted(getattr(parameter, "opts", []), key=len, reverse=True)) or parameter.name
        return f"{names}: {_rule(error)}{hint}"
    message = " ".join(error.format_message().split()).removesuffix(".")
    return f"{message[:1].lower()}{message[1:]}{hint}"


def _command_path(context: Any) -> str:
    """The command as the user types it: "molvae data fetch"."""
    names = list[str]()
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return " ".join(["molvae", *names])


def _rule(error: Any) -> str:
    """The rule that a value violates, with the value, from the validation that typer used."""
    try:
        details = error.__cause__.errors()[0]
        kind, limits, value = details["type"], details.get("ctx", {}), details["input"]
    except (AttributeError, KeyError, IndexError, TypeError):  # not raised by a validation of pydantic
        return str(error.message)
    rules = {
        "greater_than_equal": f"must be {limits.get('ge')} or more",
        "less_than_equal": f"must be {limits.get('le')} or less",
        "int_parsing": "must be a whole number",
        "int_parsing_size": "must be a whole number of fewer digits",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
    }
    return f"{rules.get(kind, error.message)}, got {one_line(str(value))!r}"
