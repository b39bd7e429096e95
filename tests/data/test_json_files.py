"""Reading of JSON: limits of size and depth, finite numbers, and the schema of dataclasses."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from molvae.data import json_files
from molvae.data.json_files import from_json, is_signed, option, read_json, read_object, reading, signed
from molvae.errors import CheckpointError, InputError


@dataclass(frozen=True)
class Part:
    name: str = field(metadata=option(printable=True))
    size: int = field(metadata=option(min=1, max=10))


@dataclass(frozen=True)
class Whole:
    kind: str = field(metadata=option(choices=("graph", "text")))
    scale: float
    parts: tuple[Part, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    first: Part | None = None
    flag: bool = False


VALID = {"kind": "text", "scale": 2, "parts": [{"name": "a", "size": 3}], "digests": {"x": "1"}, "first": None}


def test_valid_content():
    found = from_json(Whole, VALID)
    assert found == Whole("text", 2, (Part("a", 3),), {"x": "1"})
    assert from_json(Whole, {**VALID, "first": {"name": "b", "size": 1}}).first == Part("b", 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "txt"}, r"kind must be one of graph, text; got 'txt' .did you mean 'text'"),
        ({"kind": 3}, "kind must be of type str, got 3"),
        ({"scale": "2"}, "scale must be of type float, got '2'"),
        ({"scale": True}, "scale must be of type float, got True"),
        ({"scale": float("nan")}, "scale must be of type float, got nan"),
        ({"scale": 10**400}, "scale must be of type float"),
        ({"flag": 1}, "flag must be of type bool, got 1"),
        ({"parts": {}}, "parts must be a list, got {}"),
        ({"parts": [1]}, r"parts\[0\] must be an object, got 1"),
        ({"parts": [{"name": "a", "size": 11}]}, "size must be 10 or less, got 11"),
        ({"parts": [{"name": "a", "size": 1.5}]}, r"parts\[0\]\.size must be of type int, got 1.5"),
        ({"parts": [{"name": "a"}]}, r"parts\[0\] lacks the setting 'size'"),
        ({"parts": [{"name": "a\nb", "size": 1}]}, "name must be 1 to 200 printable characters"),
        ({"parts": [{"name": "", "size": 1}]}, "name must be 1 to 200 printable characters"),
        ({"digests": {"x": 1}}, r"digests\.x must be of type str, got 1"),
        ({"scal": 1}, "no setting 'scal' .did you mean 'scale'"),
    ],
)
def test_invalid_content(changes, message):
    with pytest.raises(InputError, match=message):
        from_json(Whole, {**VALID, **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON|nested"),
        ("[" * 50 + "]" * 50, "nested more than 32 deep"),
        ("[NaN]", "the number NaN, but numbers must be finite"),
        ("[-Infinity]", "the number -Infinity"),
        ("[1e999]", "the number 1e999"),
        ("9" * 5_000, "not JSON"),
        (f"[{10**30}]", "too large"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ('["\\ud800"]', "not Unicode"),
    ],
)
def test_invalid_file(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    expected = rf"a\.json is damaged: .*({message}).*: copy it again"
    with (
        pytest.raises(CheckpointError, match=expected),
        reading(tmp_path / "a.json", CheckpointError, "copy it again"),
    ):
        read_json(tmp_path / "a.json")


def test_bytes_that_are_not_utf_8(tmp_path):
    (tmp_path / "a.json").write_bytes(b'"\xff"')
    with pytest.raises(InputError, match="not JSON"):
        read_json(tmp_path / "a.json")


def test_surrogates_of_file_names_are_accepted_on_request(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"path": "\udcff.smi"}))
    assert read_json(tmp_path / "a.json", surrogates=True) == {"path": "\udcff.smi"}


def test_content_that_is_no_object(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(InputError, match=r"has to be a JSON object, but is \[1\]"):
        read_object(tmp_path / "a.json")


def test_large_file(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "MAX_BYTES", 10)
    (tmp_path / "a.json").write_text('"' + "x" * 10 + '"')
    with pytest.raises(InputError, match="12 bytes, more than the 10"):
        read_json(tmp_path / "a.json")


def test_what_is_not_a_regular_file(tmp_path):
    """A pipe or device would be read for ever."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for name, message in (
        ("folder", "folder is damaged: it is a folder"),
        ("pipe", "pipe is damaged: it is not a regular file"),
        ("device", "device is damaged: it is not a regular file"),
        ("loop", "cannot read .*loop"),
        ("nothing", f"{tmp_path} lacks nothing: copy"),
    ):
        with pytest.raises(InputError, match=message), reading(tmp_path / name, InputError, "copy it again"):
            read_json(tmp_path / name)


def test_linked_file_is_read(tmp_path):
    (tmp_path / "a.json").write_text("3")
    (tmp_path / "b.json").symlink_to(Path("a.json"))
    assert read_json(tmp_path / "b.json") == 3


def test_signature():
    content = signed({"a": 1, "b": (1, 2)})
    assert is_signed(json.loads(json.dumps(content)))
    assert not is_signed({**content, "a": 2})
    assert not is_signed({**content, "c": 2})
    assert is_signed({"a": 1})
    assert signed(content) == content
