"""Reading of stored JSON: limits of size and depth, and a schema given by the fields of a dataclass.

Every JSON file of a model, a property model, a library or a training run is read by `read_json`. Its content is
converted by `from_json`, which checks names, types and limits of all settings and raises `InputError` for the first
that is invalid; `reading` adds the path of the file and what to do about it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import reprlib
import stat
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from molvae.errors import InputError, MolvaeError, did_you_mean, one_line

MAX_BYTES = 64 << 20
"""Maximum size of a JSON file. The manifest of a library of a billion molecules takes about 6 MB."""

MAX_DEPTH = 32
"""Maximum nesting of a JSON file."""

MAX_INTEGER = 2**63 - 1
MAX_PRINTABLE = 200
"""Maximum length of a printable text, such as the name of a model."""

SIGNATURE = "settings_sha256"
"""Key of the digest of all other settings of a file, see `signed`."""

Kind = TypeVar("Kind")

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shortened_repr(value: Any) -> str:
    """The `repr` of a value in at most a few hundred characters, for error messages."""
    return _SHORT.repr(value)


@contextmanager
def reading(path: Path, error_type: type[MolvaeError], advice: str) -> Iterator[None]:
    """Convert errors of reading a file into `error_type`, with the path and how to fix it.

    Parameters
    ----------
    path : Path
        The file.
    error_type : type
        Class of the exception.
    advice : str
        What the user can do, such as "copy the model again".
    """
    try:
        yield
    except FileNotFoundError:
        raise error_type(f"{path.parent} lacks {path.name}: {advice}") from None
    except OSError as error:
        raise error_type(f"cannot read {path} ({error.strerror or one_line(str(error))}): {advice}") from None
    except InputError as error:
        raise error_type(f"{path} is damaged: {one_line(str(error))}: {advice}") from None


def check_regular_file(path: Path) -> int:
    """Return the size of a file in bytes.

    Raises `InputError` for a folder, a device or a pipe, which cannot be read to an end, and `OSError` without a file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"it is {'a folder' if stat.S_ISDIR(status.st_mode) else 'not a regular file'}")
    return status.st_size


def read_json(path: Path, *, surrogates: bool = False) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : Path
        The file.
    surrogates : bool
        Accept texts with lone surrogates, which stand for the bytes of file names that are not UTF-8.

    Returns
    -------
    Any
        The content. Numbers are finite, no key is repeated, and lists and objects are nested at most `MAX_DEPTH` deep.

    Raises
    ------
    InputError
        If the file is not such JSON; the message does not name the file, see `reading`.
    OSError
        If it cannot be read.
    """
    if (size := check_regular_file(path)) > MAX_BYTES:
        raise InputError(f"it has {size:,} bytes, more than the {MAX_BYTES:,} of any valid file")
    try:
        content = json.loads(
            path.read_bytes().decode("utf-8"),
            parse_constant=_refuse_number, parse_float=_finite, object_pairs_hook=_distinct,
        )  # fmt: skip
    except InputError:
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"it is not JSON ({reason})") from None
    _check_tree(content, surrogates)
    return content


def read_object(path: Path, *, surrogates: bool = False) -> dict[str, Any]:
    """Read a JSON file that contains an object; see `read_json`."""
    content = read_json(path, surrogates=surrogates)
    if not isinstance(content, dict):
        raise InputError(f"it has to be a JSON object, but is {shortened_repr(content)}")
    return content


def from_json(kind: type[Kind], value: Any, name: str = "") -> Kind:
    """Convert a JSON value to a type, checking everything in it.

    Parameters
    ----------
    kind : type
        int, float, str, bool, ``X | None``, ``tuple[X, ...]``, ``dict[str, X]``, or a dataclass whose fields have such
        types. The metadata of the fields (`option`) has their limits.
    value : Any
        The value.
    name : str
        Name of the value in error messages.

    Returns
    -------
    kind

    Raises
    ------
    InputError
        Names the setting, its value and the rule; an unknown setting gets a suggestion.
    """
    converted: Kind = _convert(kind, value, name)
    return converted


def option(
    help: str = "",
    *,
    min: float | None = None,
    max: float | None = None,
    choices: tuple[str, ...] | None = None,
    printable: bool = False,
) -> dict[str, Any]:
    """Metadata of a setting: help text, minimum and maximum, choices, or whether it is a short printable text.

    The command line generates its options from these.
    """
    metadata = {"help": help or None, "min": min, "max": max, "choices": choices, "printable": printable or None}
    return {key: value for key, value in metadata.items() if value is not None}


def check_limits(settings: Any) -> None:
    """Raise `InputError` for a field of a dataclass that is outside the limits of its `option` metadata."""
    for setting in dataclasses.fields(settings):
        name, value, limits = setting.name, getattr(settings, setting.name), setting.metadata
        if value is None:
            continue
        if "choices" in limits and value not in limits["choices"]:
            hint = did_you_mean(str(value)[:100], limits["choices"])
            raise InputError(f"{name} must be one of {', '.join(limits['choices'])}; got {shortened_repr(value)}{hint}")
        if "min" in limits and not value >= limits["min"]:
            raise InputError(f"{name} must be {limits['min']} or more, got {value}")
        if "max" in limits and not value <= limits["max"]:
            raise InputError(f"{name} must be {limits['max']:,} or less, got {value}")
        if "printable" in limits and not (value.isprintable() and 0 < len(value) <= MAX_PRINTABLE):
            raise InputError(
                f"{name} must be 1 to {MAX_PRINTABLE} printable characters in one line, got {shortened_repr(value)}"
            )


def signed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON file with the SHA-256 of its settings under the key `SIGNATURE`."""
    settings = {key: value for key, value in content.items() if key != SIGNATURE}
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return {**settings, SIGNATURE: hashlib.sha256(text.encode()).hexdigest()}


def is_signed(content: dict[str, Any]) -> bool:
    """Whether the settings of a JSON file are as they were written; True for a file without `SIGNATURE`."""
    return SIGNATURE not in content or signed(content)[SIGNATURE] == content[SIGNATURE]


# --- reading ---


def _refuse_number(text: str) -> float:
    raise InputError(f"it has the number {text}, but numbers must be finite")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text[:40])


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        raise InputError(f"it has the key {shortened_repr(next(key for key in keys if keys.count(key) > 1))} twice")
    return content


def _check_tree(content: Any, surrogates: bool) -> None:
    """Check depth, size of integers and texts, level by level."""
    level = [content]
    for _ in range(MAX_DEPTH):
        texts = [item for item in level if isinstance(item, str)]
        texts += [key for item in level if isinstance(item, dict) for key in item]
        for text in texts:
            if not surrogates and any("\ud800" <= character <= "\udfff" for character in text):
                raise InputError(f"it has the text {shortened_repr(text)}, which is not Unicode")
        for item in level:
            if isinstance(item, int) and not -MAX_INTEGER <= item <= MAX_INTEGER:
                raise InputError(f"it has the number {shortened_repr(item)}, which is too large")
        lists = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [child for items in lists for child in items]
        if not level:
            return
    raise InputError(f"it is nested more than {MAX_DEPTH} deep")


# --- conversion ---


def _convert(kind: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _convert_object(kind, value, name)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        options = [item for item in arguments if item is not types.NoneType]
        return None if value is None and len(options) < len(arguments) else _convert(options[0], value, name)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong_type(name, "a list", value)
        return tuple(_convert(arguments[0], item, f"{name}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong_type(name, "an object", value)
        return {key: _convert(arguments[1], item, f"{name}.{key[:60]}") for key, item in value.items()}
    if not _has_type(value, kind):
        raise _wrong_type(name, f"of type {kind.__name__}", value)
    return value


def _convert_object(kind: Any, value: Any, name: str) -> Any:
    """Create a dataclass from a JSON object."""
    if not isinstance(value, dict):
        raise _wrong_type(name or kind.__name__, "an object", value)
    subject = name or ("it" if kind.__name__.startswith("_") else kind.__name__)
    known, fields = get_type_hints(kind), {f.name: f for f in dataclasses.fields(kind) if f.init}
    for key in value:
        if key not in fields:
            raise InputError(f"{subject} has no setting {key[:60]!r}{did_you_mean(key[:60], fields)}")
    for key, entry in fields.items():
        is_required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        if is_required and key not in value:
            raise InputError(f"{subject} lacks the setting {key!r}")
    prefix = f"{name}." if name else ""
    converted = kind(**{key: _convert(known[key], item, f"{prefix}{key}") for key, item in value.items()})
    check_limits(converted)
    return converted


def _wrong_type(name: str, expected: str, value: Any) -> InputError:
    return InputError(f"{name or 'the content'} must be {expected}, got {shortened_repr(value)}")


def _has_type(value: Any, kind: Any) -> bool:
    """Whether a JSON value has a plain type. An int is accepted as a float; a bool is not a number; NaN fails."""
    if kind not in (int, float, str, bool):
        return True
    if isinstance(value, bool) or kind in (str, bool):
        return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
    if kind is float and isinstance(value, int | float):
        return abs(value) <= MAX_INTEGER if isinstance(value, int) else math.isfinite(value)
    return isinstance(value, kind)
