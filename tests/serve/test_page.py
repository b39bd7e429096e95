"""The examples of the page about `molvae serve` run against a server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import httpx
import pytest
from local_server import running

from molvae.generator import Generator
from molvae.serve.service import Service

PAGE = (Path(__file__).parents[2] / "docs" / "commands" / "serve.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def druglike():
    """The address of a server with the default model."""
    with running(Service(Generator.load("druglike", "cpu"))) as url:
        yield url


def examples(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_python(druglike, capsys):
    (code,) = examples("python")
    assert ADDRESS in code
    exec(compile(code.replace(ADDRESS, druglike), "serve.md", "exec"), {})
    assert "['', " in capsys.readouterr().out


@pytest.mark.parametrize("line", [line for block in examples("bash") for line in block.splitlines() if "curl" in line])
def test_curl(druglike, line):
    """The request of the command line."""
    words = shlex.split(line)
    options = {name: [words[i + 1] for i, word in enumerate(words) if word == name] for name in ("-H", "-d")}
    headers = dict(text.split(": ", 1) for text in options["-H"])
    (url,) = (word for word in words if word.startswith(ADDRESS))
    answer = httpx.post(url.replace(ADDRESS, druglike), content=options["-d"][0], headers=headers, timeout=60)
    assert answer.status_code == 200
    if "Accept" in headers:
        names = re.findall(r"^event: (\w+)$", answer.text, flags=re.MULTILINE)
        assert (names[0], names[-1]) == ("start", "end")
    else:
        assert len(answer.json().get("rows", answer.json().get("generated"))) == 5


def test_every_endpoint_is_described(druglike):
    for path in httpx.get(f"{druglike}/openapi.json").json()["paths"]:
        assert path.replace("{job_id}", "{id}") in PAGE, path
