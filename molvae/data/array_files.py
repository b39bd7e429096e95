"""Reading of stored arrays (safetensors, .npz, .npy) and a schema of their names, types, shapes and values.

No code in a file is executed, and no more memory is allocated than the file has bytes. The parsers of NumPy and
safetensors raise many types of exceptions for damaged files; all become `InputError`, to which
`molvae.data.json_files.reading` adds the path.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from molvae.data.json_files import check_regular_file
from molvae.errors import InputError, did_you_mean

Arrays = dict[str, NDArray[Any]]
Kind = TypeVar("Kind")

_KINDS = {"float": "f", "integer": "i", "number": "fiu"}


def read_safetensors(path: Path) -> Arrays:
    """Read all arrays of a safetensors file. Raises `InputError` if it is damaged or has values that are not finite."""
    from safetensors.numpy import load_file

    check_regular_file(path)
    try:
        arrays: Arrays = load_file(path)
    except OSError:
        raise
    except Exception as error:  # an unknown dtype is a KeyError or TypeError, depending on the version
        raise InputError(f"it is not a safetensors file ({_first_line(error)})") from None
    check_finite(arrays)
    return arrays


def read_npz(path: Path, names: Iterable[str]) -> Arrays:
    """Read arrays of an uncompressed .npz file. Raises `InputError` if one is missing or damaged, or is not numeric."""
    check_regular_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _read_entry(archive, f"{name}.npy") for name in names}
    except (InputError, OSError):
        raise
    except Exception as error:  # NumPy parses the header as Python: SyntaxError, TokenError, RecursionError ...
        raise InputError(f"it is not an .npz file ({_first_line(error)})") from None


def map_npy(path: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """Memory-map a .npy file, read-only or copy-on-write ("c"). Raises `InputError` if it is damaged."""
    check_regular_file(path)
    try:
        array: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # as in `read_npz`
        raise InputError(f"it is not a .npy file ({_first_line(error)})") from None
    if not isinstance(array, np.ndarray):
        raise InputError("it is not a .npy file")
    return array


def check_finite(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise `InputError` for an array with NaN or an infinite value."""
    for name, array in arrays.items():
        if not is_finite(array):
            raise InputError(f"the array {name[:100]!r} has values that are not finite (NaN or infinite)")


def is_finite(array: NDArray[Any]) -> bool:
    """Whether all values of an array are finite."""
    if array.dtype == np.float16:  # NumPy converts half precision to single, which takes ten times as long
        return bool((np.ascontiguousarray(array).view(np.uint16) & np.uint16(0x7FFF)).max(initial=0) < 0x7C00)
    return bool(np.isfinite(array).all())


def array(
    *shape: str | int, dtype: str = "float", min: float | None = None, above: float | None = None
) -> dict[str, Any]:
    """Metadata of a dataclass field that is a stored array.

    Parameters
    ----------
    *shape : str or int
        Length of each axis: a number, or a name, which has to be the same length wherever it occurs.
    dtype : {"float", "integer", "number"}
        Kind of the numbers.
    min, above : float, optional
        All values have to be at least `min`, or greater than `above`.
    """
    return {"shape": shape, "dtype": dtype, "min": min, "above": above}


def from_arrays(kind: type[Kind], arrays: Arrays, limits: Mapping[str, int] | None = None) -> Kind:
    """Create a dataclass whose fields are declared by `array`.

    Parameters
    ----------
    kind : type
        The dataclass.
    arrays : dict of str to ndarray
        Arrays by the name of the field.
    limits : mapping of str to int, optional
        Maximum length of named axes.

    Raises
    ------
    InputError
        If an array is missing, unknown, of another type or shape, or has values outside its limits; also if the
        dataclass itself raises `ValueError`.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in arrays:
        if name not in fields:
            raise InputError(f"it has the unknown array {name[:60]!r}{did_you_mean(name[:60], fields)}")
    lengths: dict[str, int] = {}
    for name, entry in fields.items():
        if name not in arrays:
            raise InputError(f"the array {name!r} is missing")
        _check_array(name, arrays[name], entry.metadata, lengths)
    for axis, most in (limits or {}).items():
        if lengths.get(axis, 0) > most:
            raise InputError(f"the arrays have {lengths[axis]:,} {axis}, more than {most:,}")
    try:
        return kind(**arrays)
    except ValueError as error:
        raise InputError(str(error)) from None


def _check_array(name: str, values: NDArray[Any], rules: Mapping[str, Any], lengths: dict[str, int]) -> None:
    if values.dtype.kind not in _KINDS[rules["dtype"]]:
        raise InputError(f"the array {name!r} has the type {values.dtype}, expected {rules['dtype']}")
    expected = rules["shape"]
    known = [lengths.get(axis, axis) if isinstance(axis, str) else axis for axis in expected]
    if len(expected) != values.ndim or any(
        isinstance(axis, int) and axis != size for axis, size in zip(known, values.shape, strict=True)
    ):
        shape = ", ".join(map(str, known))
        raise InputError(f"the array {name!r} has the shape {values.shape}, expected ({shape})")
    lengths |= {axis: size for axis, size in zip(expected, values.shape, strict=True) if isinstance(axis, str)}
    check_finite({name: values})
    if rules["min"] is not None and values.size and not values.min() >= rules["min"]:
        raise InputError(f"the array {name!r} has the value {values.min()}, less than {rules['min']}")
    if rules["above"] is not None and values.size and not values.min() > rules["above"]:
        raise InputError(f"the array {name!r} has the value {values.min()}, which has to exceed {rules['above']}")


def _read_entry(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read an array of a .npz file after comparing its declared size with that in the archive."""
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise InputError(f"it lacks the array {name.removesuffix('.npy')!r}") from None
    if entry.compress_type != zipfile.ZIP_STORED:
        raise InputError("it is compressed, which this format does not use")
    with archive.open(entry) as file:
        major = npy.read_magic(file)[0]
        read_header = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
        content = file.read()
    if dtype.kind not in "biuf" or any(length < 0 for length in shape):
        raise InputError(f"the array {name.removesuffix('.npy')!r} has the type {dtype}")
    values = np.frombuffer(content, dtype)  # raises ValueError if the size is not a multiple of the item size
    return values.reshape(shape, order="F" if is_fortran else "C")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:200]
