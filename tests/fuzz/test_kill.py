"""A few kills of commands, as `make fuzz-kill` does for longer."""

from __future__ import annotations

import signal
import sys

import pytest

from fuzz.kill import kill_commands

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="/proc")]


def test_killed_index(tmp_path):
    """Nothing is left, and the repeated command gives the same bytes."""
    signals = [signal.SIGKILL, signal.SIGTERM]
    report = kill_commands(tmp_path, 1, names=["index"], signals=signals, forks=[False])
    assert report.failures == []
