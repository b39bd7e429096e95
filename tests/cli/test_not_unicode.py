"""Arguments and files with bytes that are not UTF-8: each command reports these rows, and uses the others."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from molvae.cli.app import app

ARGUMENTS = ("CCO", "CC\udcff", "CCN |$\udcff$|", "C,\udcff", "CCC \udcff", "\udcff", "CCCO")
LINES = b"CCO a\nCC\xff b\nCCN |$\xff$| c\nC,\xff\nCCC \xff\n\xff\nCCCO d\n"
COMMANDS = ("encode", "reconstruct", "analogs -n 1 --max-samples 20", "map", "cluster --clusters 2", "anomaly",
            "neighbors --seeds CCO", "score --columns mw", "screen --seeds CCO --workers 0")  # fmt: skip


@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize("suffix", [".csv", ".sdf", ".parquet"])
@pytest.mark.parametrize("command", COMMANDS)
def test_undecodable_rows_do_not_end_a_run(tiny_model, tmp_path, monkeypatch, command, suffix, as_file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.smi").write_bytes(LINES)
    name, *options = command.split()
    rows = ["rows.smi"] if as_file or name == "screen" else ARGUMENTS
    if suffix not in (".csv", ".parquet") and name == "encode":
        suffix = ".xlsx"
    model = [] if name == "score" else ["--model", str(tiny_model)]
    result = CliRunner().invoke(app, [name, *rows, *options, "-o", f"out{suffix}", "--device", "cpu", *model])
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert (tmp_path / f"out{suffix}").stat().st_size > 0
    assert "not UTF-8" in result.stderr
