"""Bad values for every option of every command, as the parser lists them: one line, exit code 2, no work.

The values follow from the type and the limits of an option; options that take other text have a value in `WRONG_TEXT`.
All commands run in one process in which torch cannot be imported, so that nothing of their work can begin.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from molvae.cli.app import COMMANDS, app
from molvae.errors import MAX_COUNT

MAX_SECONDS = 10
"""Of CPU time for one command, which includes the imports of the first one."""

ARGUMENTS = {
    "analogs": "CCO", "sample": "", "optimize": "CCO --objective qed", "encode": "CCO -o x.csv", "decode": "z.csv",
    "reconstruct": "CCO", "explain": "CCO", "score": "CCO --seed-column seed", "fit": "table.csv --target y -o out",
    "interpolate": "CCO CCC", "traverse": "CCO", "map": "CCO", "cluster": "CCO", "neighbors": "CCO --seeds CCC",
    "anomaly": "CCO --reference table.csv", "screen": "table.csv --seeds CCO", "index": "table.csv -o out",
    "search": "library CCO", "train": "sample -o out", "fit-prior": "druglike sample -o out", "info": "druglike",
    "sign": "druglike", "routes": "CCO", "serve": "",
}  # fmt: skip
"""Arguments with which each command would start its work."""

WRONG_TEXT = {
    "--model": "nope", "--init-from": "nope", "--device": "tpu", "--filter": "mw<<3", "--include-smarts": "xx",
    "--exclude-smarts": "xx", "--core": "xx", "--score": "nope.py:f", "--rank-by": "nope", "--objective": "nope",
    "--similarity": "1.5", "--alerts": "nope", "--preset": "nope", "--properties": "nope", "--columns": "nope",
    "--train": "nope", "--test": "nope", "--test-scaffolds": "nope", "--valid": "nope", "--axes": "1",
    "--directions": "nope", "--clusters": "0", "--seeds": "nope.smi", "--reference": "nope.smi", "--target": "nope",
    "--encoder": "nope", "--decoder": "nope", "--latent": "nope", "--precision": "nope",
    "--stock": "nope.stock",
}  # fmt: skip

RUN = """
import json, sys, time
sys.modules["torch"] = None  # an import of torch raises ImportError
from typer.testing import CliRunner
from molvae.cli.app import app
for line in json.load(sys.stdin):
    start = time.process_time()
    result = CliRunner().invoke(app, line)
    seconds = time.process_time() - start
    print(json.dumps([result.exit_code, result.stderr, result.stdout, repr(result.exception), seconds]))
"""


def _cases() -> Iterator[tuple[str, str, str]]:
    """Command, option and bad value."""
    group: Any = typer.main.get_command(app)
    functions = {name: function for panel in COMMANDS.values() for name, function in panel.items()}
    for command, function in functions.items():
        hints = typing.get_type_hints(function)
        for parameter in group.commands[command].params:
            if parameter.param_type_name != "option" or parameter.is_flag or parameter.name not in hints:
                continue
            option = max(parameter.opts, key=len)
            kinds = set(typing.get_args(hints[parameter.name])) or {hints[parameter.name]}
            yield from ((command, option, value) for value in _bad_values(option, kinds, parameter))


def _bad_values(option: str, kinds: set[Any], parameter: Any) -> list[str]:
    limits = [str(limit + step) for limit, step in ((parameter.min, -1), (parameter.max, 1)) if limit is not None]
    if int in kinds:
        return ["x", "", "nan", "1.5", *limits, *([] if parameter.max else [str(MAX_COUNT + 1), "1" + "0" * 20])]
    if float in kinds:
        return ["x", "", "nan", "inf", *limits]
    if Path in kinds:
        return ["", "/proc/nope.csv"]
    if parameter.callback is not None and parameter.callback.__wrapped__.__qualname__.startswith("one_of"):
        return ["", "nope"]
    return [*([] if parameter.default == "" else [""]), *([WRONG_TEXT[option]] if option in WRONG_TEXT else [])]


CASES = list(_cases())


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], list[Any]]:
    """Exit code, stderr, stdout, exception and CPU time of each command line."""
    folder = tmp_path_factory.mktemp("bad_values")
    (folder / "table.csv").write_text("smiles,y\nCCO,1\nCCN,2\n")
    (folder / "z.csv").write_text("z0,z1\n0,0\n")
    (folder / "library").mkdir()
    lines = [[case[0], *shlex.split(ARGUMENTS[case[0]]), f"{case[1]}={case[2]}"] for case in CASES]
    result = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(lines), capture_output=True, text=True, cwd=folder, check=False
    )
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["library", "table.csv", "z.csv"]  # nothing is left
    return dict(zip(CASES, map(json.loads, result.stdout.splitlines()), strict=True))


def test_every_kind_of_option_is_covered() -> None:
    options = {option for _, option, _ in CASES}
    assert {"--count", "--temperature", "--output", "--method", *WRONG_TEXT} <= options
    assert {command for command, _, _ in CASES} >= set(ARGUMENTS) - {"info", "sign"}
    assert len(CASES) > 400


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_bad_value_is_told_before_any_work(answers: dict[tuple[str, str, str], list[Any]], case: Any) -> None:
    (_, option, value), (code, stderr, stdout, exception, seconds) = case, answers[case]
    assert code == 2, (stderr, exception)
    assert stdout == ""
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith("molvae: ")
    assert value in stderr.replace(",", "")
    # settings of `train` have the names of the configuration; a path names the output
    assert option in stderr or option[2:].replace("-", "_") in stderr or value.startswith("/proc/")
    assert seconds < MAX_SECONDS
