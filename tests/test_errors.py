"""Warnings point at the caller; missing extras and unknown names give a hint."""

from __future__ import annotations

import sys

import pytest

from molvae.errors import MissingExtraError, MolvaeWarning, did_you_mean, import_extra, warn


def test_warning_points_at_the_caller():
    with pytest.warns(MolvaeWarning, match="3 rows") as caught:
        exec(compile("warn('3 rows')", "molvae_inner.py", "exec"), {"__name__": "molvae.inner", "warn": warn})
    assert caught[0].filename == __file__


def test_import_extra_returns_the_submodule():
    assert import_extra("json.decoder") is sys.modules["json.decoder"]


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "absent.part", None)
    monkeypatch.setitem(sys.modules, "absent", None)
    with pytest.raises(MissingExtraError, match=r"^absent is required .* pip install 'molvae\[fit\]'$") as caught:
        import_extra("absent.part", "fit")
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize(
    ("value", "hint"),
    [("tpza", " (did you mean 'TPSA'?)"), ("QEDs", " (did you mean 'qed'?)"), ("solubility", ""), ("", "")],
)
def test_did_you_mean(value, hint):
    assert did_you_mean(value, ["mw", "TPSA", "qed"]) == hint


def test_did_you_mean_without_known_names():
    assert did_you_mean("mw", []) == ""
