"""Seeded mutations of the files of a folder: bytes, JSON values, arrays, Parquet tables, and whole files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 10**6, 10**12, 2**63, 10**300, 0.5, -0.5, 1e-300, 1e308, float("nan"),
    float("inf"), "", "x", "1", "x" * 10_000, "line\nline", "\x1b[31m", "\ud800", "../../../etc/passwd", "/dev/zero",
    "gru", "gps", "hypersphere", "latent", [], [1], ["x"], [[]], {}, {"x": 1}, {"": None},
)  # fmt: skip
TEXTS = (
    "", "{", "null", "[]", "{}", "1e999", "NaN", "[" * 100_000, '{"a":' * 5_000, '{"a": 1, "a": 2}', "9" * 5_000, '"x"',
    "\ufeff{}", "{'a': 1}",
)  # fmt: skip

Mutation = Callable[[Random, Path], str]


def mutate(random: Random, folder: Path) -> str:
    """Change one to three files of a folder; return a description."""
    changes = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        if not files:
            break
        path = random.choice(files)
        kinds: list[Mutation] = [mutated_bytes, *(_STRUCTURED.get(path.suffix, mutated_bytes),) * 4, mutated_file]
        changes.append(f"{path.relative_to(folder)}: {random.choice(kinds)(random, path)}")
    return "; ".join(changes)


def mutated_bytes(random: Random, path: Path) -> str:
    """Flip, insert, remove, repeat or overwrite bytes."""
    content = bytearray(path.read_bytes())
    position = random.randrange(len(content) + 1)
    kind = random.choice(("flip", "flip", "flip", "flips", "truncate", "empty", "append", "insert", "remove", "zeros"))
    if kind == "flip" and content:
        position = random.choice((position, random.randrange(min(len(content), 400)))) % len(content)
        content[position] ^= 1 << random.randrange(8)
    elif kind == "flips" and content:
        for _ in range(20):
            content[random.randrange(len(content))] ^= random.randrange(1, 256)
    elif kind == "truncate":
        del content[position:]
    elif kind == "empty":
        content.clear()
    elif kind == "append":
        content += random.randbytes(random.randrange(1, 100))
    elif kind == "insert":
        content[position:position] = random.randbytes(random.randrange(1, 9))
    elif kind == "remove":
        del content[position : position + random.randrange(1, 9)]
    elif kind == "zeros":
        content[position : position + 16] = bytes(16)
    path.write_bytes(content)
    return f"{kind} at {position}"


def mutated_file(random: Random, path: Path) -> str:
    """Remove a file, or put a folder, a link, a pipe or another file in its place."""
    kind = random.choice(("remove", "remove", "folder", "loop", "device", "pipe", "swap", "copy", "dangling"))
    others = sorted(other for other in path.parent.iterdir() if other.is_file() and other != path)
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("swap", "copy") and others:
        other = random.choice(others)
        shutil.copy(other, path)
        if kind == "swap":
            other.write_bytes(content)
    return kind


def mutated_json(random: Random, path: Path) -> str:
    """Change a value, a type or a key somewhere in a JSON file, or replace its text."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return mutated_bytes(random, path)
    if random.random() < 0.1:
        text = random.choice(TEXTS)
        path.write_text(text, encoding="utf-8")
        return f"text {text[:20]!r}"
    places = list(_places(content))
    if not places:
        return mutated_bytes(random, path)
    parent, key = random.choice(places)
    before, kind = parent[key], random.choice(("value", "value", "value", "delete", "rename", "near", "add", "nest"))
    if kind == "value":
        parent[key] = random.choice(VALUES)
    elif kind == "delete":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif kind == "near" and isinstance(before, int | float):
        parent[key] = random.choice((before + 1, before - 1, -before, before * 2, before * 1000, float(before)))
    elif kind == "add" and isinstance(parent, dict):
        parent[random.choice(("x", "files", "prior", "__class__", ""))] = random.choice(VALUES)
    elif kind == "add":
        parent.insert(random.randrange(len(parent) + 1), random.choice(VALUES))
    else:
        for _ in range(random.choice((1, 3, 200))):
            before = [before]
        parent[key] = before
    path.write_text(json.dumps(content), encoding="utf-8")
    return f"{kind} of {key!r}, now {repr(parent)[:80]}"


def mutated_safetensors(random: Random, path: Path) -> str:
    """Change names, types, shapes or values of the arrays of a safetensors file."""
    try:
        arrays = load_file(path)
    except Exception:  # damaged by an earlier mutation
        return mutated_bytes(random, path)
    description = mutate_arrays(random, arrays)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return description


def mutated_npz(random: Random, path: Path) -> str:
    """Change the arrays of an .npz file."""
    try:
        with np.load(path) as stored:
            arrays = dict(stored)
    except Exception:
        return mutated_bytes(random, path)
    description = mutate_arrays(random, arrays)
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return description


def mutated_npy(random: Random, path: Path) -> str:
    """Change the array of a .npy file."""
    try:
        arrays = {"array": np.load(path)}
    except Exception:
        return mutated_bytes(random, path)
    description = mutate_arrays(random, arrays)
    with path.open("wb") as file:
        np.save(file, next(iter(arrays.values()), np.zeros(0)))
    return description


def mutate_arrays(random: Random, arrays: dict[str, Any]) -> str:
    """Change one array of a dictionary in place."""
    if not arrays:
        return "nothing"
    name = random.choice(sorted(arrays))
    array = arrays[name].copy()
    kind = random.choice(("value", "value", "all", "bits", "dtype", "shape", "axis", "drop", "rename", "add", "empty"))
    if kind == "drop":
        del arrays[name]
        return f"drop {name}"
    if kind == "rename":
        arrays[f"{name}_"] = arrays.pop(name)
        return f"rename {name}"
    if kind == "add":
        arrays["extra"] = np.zeros(3, np.float32)
        return "add"
    change: object = ""
    with np.errstate(all="ignore"):
        if kind == "value" and array.size:
            change = random.choice((np.nan, np.inf, -np.inf, -1, 0, 1e-30, 60_000, -60_000, 1e30, 2**31 - 1))
            flat = array.reshape(-1)
            flat[random.randrange(array.size)] = np.array([change], np.float64).astype(array.dtype)[0]
        elif kind == "all":
            change = random.choice((-1, 0, 1e4, 1e-6, np.nan))
            array = (array.astype(np.float64) * change).astype(array.dtype)
        elif kind == "bits" and array.size:
            content = bytearray(array.tobytes())
            for _ in range(random.choice((1, 10, 1000))):
                content[random.randrange(len(content))] ^= 1 << random.randrange(8)
            array = np.frombuffer(content, array.dtype).reshape(array.shape)
        elif kind == "dtype":
            change = random.choice(("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "?"))
            array = array.astype(change)
        elif kind == "shape":
            array = random.choice((array.reshape(-1), array[None], array.T, array[..., None]))
        elif kind == "axis" and array.ndim:
            axis = random.randrange(array.ndim)
            array = random.choice((np.delete(array, slice(0, 1), axis), np.concatenate([array, array], axis)))
        elif kind == "empty":
            array = array.reshape(-1)[:0]
    arrays[name] = array
    return f"{kind} {change} of {name}"


def mutated_parquet(random: Random, path: Path) -> str:
    """Change rows, columns, types or values of a Parquet file."""
    try:
        table = pq.read_table(path)
    except Exception:
        return mutated_bytes(random, path)
    name = random.choice(table.column_names)
    index = table.column_names.index(name)
    kind = random.choice(("drop", "fewer", "more", "null", "text", "number", "rename", "shuffle", "garbage", "groups"))
    groups = 8192
    if kind == "drop":
        table = table.drop_columns([name])
    elif kind == "fewer":
        table = table.slice(0, random.randrange(table.num_rows + 1))
    elif kind == "more":
        table = pa.concat_tables([table, table])
    elif kind == "null":
        table = table.set_column(index, name, pa.nulls(table.num_rows, table.schema.field(index).type))
    elif kind == "text":
        table = table.set_column(index, name, pa.array(["x"] * table.num_rows))
    elif kind == "number":
        value = random.choice((0.0, float("nan"), 1e300))
        table = table.set_column(index, name, pa.array([value] * table.num_rows))
    elif kind == "rename":
        table = table.rename_columns([f"{n}_" if n == name else n for n in table.column_names])
    elif kind == "shuffle":
        table = table.take(random.sample(range(table.num_rows), table.num_rows))
    elif kind == "garbage":
        texts = [random.choice(("", "C1CC", "\x00", "C" * 3000, "<b>", "C\nC", "CCO")) for _ in range(table.num_rows)]
        table = table.set_column(index, name, pa.array(texts))
    elif kind == "groups":
        groups = 3
    pq.write_table(table, path, row_group_size=groups)
    return f"{kind} {name}"


def sha256(path: Path) -> str | None:
    """The sha256 of a file; None for what is not a regular file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def read_dict(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file; None if it is not a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _places(content: Any) -> list[tuple[Any, Any]]:
    """All (container, key) of a JSON value."""
    found, todo = [], [content]
    while todo:
        item = todo.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for key in keys:
            found.append((item, key))
            todo.append(item[key])
    return found


_STRUCTURED: dict[str, Mutation] = {
    ".json": mutated_json,
    ".safetensors": mutated_safetensors,
    ".npz": mutated_npz,
    ".npy": mutated_npy,
    ".parquet": mutated_parquet,
}
