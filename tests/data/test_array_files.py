"""Reading of arrays: damaged files, and the schema of names, types, shapes and values."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from molvae.data.array_files import array, from_arrays, is_finite, map_npy, read_npz, read_safetensors
from molvae.errors import InputError


@dataclass(frozen=True)
class Line:
    slope: NDArray[np.float64] = field(metadata=array("features"))
    scale: NDArray[np.float64] = field(metadata=array("features", above=0))
    rows: NDArray[np.int32] = field(metadata=array("n", 2, dtype="integer", min=0))


VALID = {"slope": np.zeros(3), "scale": np.ones(3), "rows": np.zeros((4, 2), np.int32)}


def test_valid_arrays():
    assert from_arrays(Line, VALID, {"n": 4}).slope is VALID["slope"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slope": np.zeros(2)}, r"'scale' has the shape \(3,\), expected \(2\)"),
        ({"slope": np.zeros((3, 1))}, r"'slope' has the shape \(3, 1\), expected \(features\)"),
        ({"slope": np.zeros(3, np.int64)}, "'slope' has the type int64, expected float"),
        ({"slope": np.array([0, np.nan, 0])}, "'slope' has values that are not finite"),
        ({"scale": np.array([1.0, 0, 1])}, "'scale' has the value 0.0, which has to exceed 0"),
        ({"rows": np.zeros((4, 3), np.int32)}, r"'rows' has the shape \(4, 3\), expected \(n, 2\)"),
        ({"rows": np.full((4, 2), -1)}, "'rows' has the value -1, less than 0"),
        ({"rows": np.zeros((5, 2), np.int32)}, "5 n, more than 4"),
        ({"slop": np.zeros(3)}, "unknown array 'slop' .did you mean 'slope'"),
    ],
)
def test_invalid_arrays(changes, message):
    with pytest.raises(InputError, match=message):
        from_arrays(Line, {**VALID, **changes}, {"n": 4})


def test_missing_array():
    with pytest.raises(InputError, match="'rows' is missing"):
        from_arrays(Line, {name: VALID[name] for name in ("slope", "scale")})


def test_damaged_safetensors(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(VALID, path)
    content = path.read_bytes()
    for damaged in (b"", content[:20], content[:-1], b"\xff" * 8 + content[8:], content.replace(b"F64", b"F99")):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a safetensors file"):
            read_safetensors(path)
    save_file({"a": np.array([1, np.inf], np.float16)}, path)
    with pytest.raises(InputError, match="'a' has values that are not finite"):
        read_safetensors(path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",  # a terabyte
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), ",  # NumPy raises TokenError
        " {'descr': '<f8'\n}",  # IndentationError
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",  # a pickle
        "(" * 500,
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }",
    ],
)
def test_damaged_headers(tmp_path, header):
    """NumPy parses the header as Python, whose parser raises many types of exceptions."""
    text = header.ljust(1000 - 11 if len(header) > 118 else 117) + "\n"
    entry = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + np.zeros(3).tobytes()
    (tmp_path / "a.npy").write_bytes(entry)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", entry)
    with pytest.raises(InputError, match=r"not an \.npz file|has the type"):
        read_npz(tmp_path / "a.npz", ["a"])
    with pytest.raises(InputError, match=r"not a \.npy file"):
        map_npy(tmp_path / "a.npy")


def test_valid_npz_and_npy(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(6).reshape(2, 3), b=np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    found = read_npz(tmp_path / "a.npz", ["a", "b"])
    np.testing.assert_array_equal(found["a"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(found["b"], np.arange(6).reshape(2, 3))
    np.save(tmp_path / "a.npy", np.arange(3))
    assert map_npy(tmp_path / "a.npy").tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="lacks the array 'c'"):
        read_npz(tmp_path / "a.npz", ["c"])


def test_an_archive_is_not_a_npy_file(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    (tmp_path / "a.npy").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match=r"not a \.npy file"):
        map_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_is_finite(dtype, value):
    values = np.array([0, -0.0, 1e-7, 65_504, -65_504], dtype)
    assert is_finite(values)
    assert is_finite(values[:0])
    assert is_finite(values.reshape(5, 1).T)
    assert not is_finite(np.append(values, dtype(value)))
