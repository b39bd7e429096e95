"""Wrong options, names, files, columns and outputs are reported in one line, before torch is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # an import of torch raises ImportError
import shlex
from typer.testing import CliRunner
from molvae.cli.app import app
for line in sys.stdin.read().splitlines():
    result = CliRunner().invoke(app, shlex.split(line))
    print(repr((line, result.exit_code, result.stderr, result.stdout, repr(result.exception))))
"""

# command line; what the message has to contain
TYPOS = """
--foo | no such option: --foo
analog CCO | did you mean 'analogs'
analogs CCO --filte mw<300 | --filter
analogs CCO -n 0 | --count/-n: must be 1 or more, got '0'
analogs CCO -n x | --count/-n: must be a whole number, got 'x'
analogs CCO -n 100000000000000000000 | --count/-n: must be 1,000,000,000 or less, got 100000000000000000000
analogs CCO -n nan | must be a whole number, got 'nan'
analogs CCO --temperature inf | --temperature: must be a finite number, got inf
analogs CCO --temperature nan | --temperature: must be
analogs CCO --top-p 2 | --top-p: must be above 0 and at most 1, got 2
analogs CCO --similarity 1.5 | similarity
analogs CCO --similarity 0.5 --noise-level 0.2 | either --noise-level or --similarity
analogs CCO --model drugli | --model: no model 'drugli' (did you mean 'druglike'?)
analogs CCO --model '' | --model/-m: must not be empty
analogs CCO --device tpu | cannot use the device 'tpu'
analogs CCO --device gpu | did you mean 'cuda'
analogs CCO --filter mw=300 | 'mw 285:315'
analogs CCO --filter '' | --filter: must not be empty
analogs CCO --filter mpo>3 | unknown property 'mpo'; known: similarity
analogs CCO --rank-by mine.py | mine.py:FUNCTION
analogs CCO --rank-by nope | unknown property 'nope'
analogs CCO --score mine.py | mine.py:FUNCTION
analogs CCO --score mine.py:hevy | no function 'hevy' (did you mean 'heavy'?); it defines heavy
analogs CCO --score folder | folder is not a property model
analogs CCO --score mine.py:heavy --score mine.py:heavy | two scores are called 'heavy'
analogs CCO --score mine.py:heavy --rank-by hevy | did you mean 'heavy'
analogs CCO --alerts PAIN | did you mean 'pains'
analogs CCO --include-smarts xx | cannot read SMARTS 'xx'
analogs CCO --core xx | xx
analogs nope.smi | nope.smi does not exist
analogs nope.foo | neither a SMILES nor a file
analogs folder/nope | neither a SMILES nor a file
analogs table.csv --column nope | no column 'nope'
analogs CCO -o out.foo | its suffix must be one of .csv
analogs CCO -o /proc/x.csv | cannot write /proc/x.csv
analogs CCO -o mine.py/x.csv | is a file, not a folder
analogs CCO --image x.pdf | --image
analogs CCO --n-diverse 5 -n 2 | --n-diverse 5 is more than -n 2
sample --prior foo | --prior: must be auto, unit or learned, got 'foo'
sample -o /proc/x.csv | cannot write /proc/x.csv
optimize CCO --objective MPO | unknown property 'MPO'
optimize CCO --objective mine.py | mine.py:FUNCTION
optimize CCO --objective folder | not a property model
optimize CCO --population 1 | --population: must be 4 or more
encode nope.smi -o x.csv | nope.smi does not exist
reconstruct table.csv --column nope | no column 'nope'
decode nope.csv | nope.csv does not exist
interpolate CCO C1CC | END: cannot read SMILES 'C1CC'
interpolate CCO CCC --path foo | --path: must be spherical or linear, got 'foo'
traverse CCO --axes 1 | --axes
traverse CCO --directions nope | --directions
map CCO --method tsne | --method: must be pca or umap
map table.csv --image /proc/x.png | cannot write /proc/x.png
cluster CCO --method foo | --method: must be kmeans
cluster CCO --clusters 0 | --clusters
cluster CCO --clusters foo | --clusters
neighbors nope.smi --seeds CCO | nope.smi does not exist
anomaly CCO --reference nope.smi | nope.smi does not exist
screen nope.smi | nope.smi does not exist
screen table.csv --rank-by MPO | unknown property 'MPO'; known: tanimoto, latent
screen table.csv --filter tanimoto>2 | tanimoto is from 0 to 1
screen table.csv -o /proc/x.csv | cannot write /proc/x.csv
index table.csv -o /proc/x | cannot write /proc/x
index table.csv -o mine.py | mine.py exists and is a file
index table.csv -o folder2 | is not a library
index table.csv -o x --properties nope | unknown property 'nope'
search folder CCO --metric foo | --metric: must be cosine or l2, got 'foo'
search nope CCO | nope does not exist
search folder CCO --filter mw=3 | mw is not a whole number
fit table.csv --target nope -o x | --target: table.csv has no column 'nope'
fit table.csv --target y -o /proc/x | cannot write /proc/x
fit table.csv --target y -o mine.py | is a file
fit table.csv --target y -o x --task foo | --task: must be
fit table.csv --target y -o x --split foo | --split: must be scaffold or random
fit-prior druglik sample -o x | no model 'druglik'
fit-prior druglike nope -o x | unknown dataset 'nope'
fit-prior druglike sample -o /proc/x | cannot write /proc/x
train nope.smi -o x | nope.smi does not exist
train sample -o /proc/x | cannot write /proc/x
train sample -o mine.py | is a file
train sample -o x --encoder foo | encoder must be one of gine
train sample -o x --device foo | cannot use the device 'foo'
train sample -o x --learning-rate nan | --learning-rate: must be a finite number
train sample -o x --device cpu --devices 2 | --device cpu is one device
train table.csv -o x --column nope | no column 'nope'
data fetch nope | unknown dataset 'nope'
data fetch moses --folder /proc/x | cannot write /proc/x
data info mose | did you mean 'moses'
info drugli | did you mean 'druglike'
score table.csv --columns nope | unknown column 'nope'
score table.csv --train nope | unknown dataset 'nope'
score table.csv --seed-column nope | no column 'nope'
score table.csv --report /proc/x.html | cannot write /proc/x.html
score table.csv --report x.html --rank-by nope | --rank-by
"""
CASES = [tuple(part.strip() for part in line.split("|")) for line in TYPOS.strip().splitlines()]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The exit code and output of each command line, from one process in which torch cannot be imported."""
    folder = tmp_path_factory.mktemp("typos")
    (folder / "mine.py").write_text("def heavy(mol):\n    return mol.GetNumHeavyAtoms()\n")
    (folder / "table.csv").write_text("smiles,y\nCCO,1\nCCN,2\n")
    (folder / "folder").mkdir()
    (folder / "folder2").mkdir()
    (folder / "folder2" / "notes.txt").write_text("x")
    lines = "\n".join(line for line, _ in CASES)
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], input=lines, capture_output=True, text=True, cwd=folder, check=False
    )
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != "_") == [
        "folder", "folder2", "mine.py", "table.csv",
    ]  # fmt: skip
    return {values[0]: values[1:] for values in map(eval, result.stdout.splitlines())}


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_mistakes_are_found_without_torch(answers, line, expected):
    code, stderr, stdout, exception = answers[line]
    assert code == 2, (stderr, exception)
    assert stdout == ""
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith("molvae: ")
    assert expected.casefold() in stderr.casefold()
