"""Progress bars: shown in terminals and notebooks only."""

from __future__ import annotations

import sys

from molvae.viz import progress
from molvae.viz.progress import progress_bar


def test_no_bar_without_a_terminal_or_notebook(capsys):
    with progress_bar(10, "molecules") as advance:
        assert advance is None
    assert capsys.readouterr().err == ""


def test_bar_shows_the_number_of_finished_items(capsys, monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar(10, "molecules") as advance:
        for n_done in (3, 10):
            advance(n_done)
    text = capsys.readouterr().err
    assert "molecules" in text
    assert text.endswith("\r")  # the bar is removed at the end


def test_callback_replaces_the_bar():
    calls = []
    with progress_bar(10, "molecules", calls.append) as advance:
        advance(4)
    assert calls == [4]
