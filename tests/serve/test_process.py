"""The command `molvae serve` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

TOKEN = "0123456789abcdef-token"


@contextmanager
def process(*arguments, **environment):
    """The process and the address that it prints."""
    command = [sys.executable, "-m", "molvae", "serve", "--port", "0", "--device", "cpu", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        lines = []
        for line in child.stderr:
            lines.append(line)
            if match := re.search(r"listening on (http\S+)", line):
                yield child, match[1]
                break
        else:
            pytest.fail("".join(lines))
    finally:
        child.kill()
        child.wait()


def test_sigterm_cancels_jobs(tiny_model):
    with process("--model", tiny_model) as (child, url), httpx.Client(base_url=url, timeout=30) as http:
        assert http.get("/v1/health/ready").json() == {"status": "ready"}
        body = {"seeds": ["CCCO"], "max_samples": 500_000}
        with http.stream("POST", "/v1/optimize", json=body, headers={"Accept": "text/event-stream"}) as answer:
            lines = answer.iter_lines()
            next(lines)
            child.send_signal(signal.SIGTERM)
            start = time.monotonic()
            rest = list(lines)
        assert '"status": "cancelled"' in "".join(rest)
        assert child.wait(20) == 128 + signal.SIGTERM
        assert time.monotonic() - start < 15
        assert "stopping: 0 jobs finished, 1 cancelled" in child.stderr.read()


def test_library_and_token_of_the_environment(tiny_model, library_folder):
    options = ("--model", tiny_model, "--library", library_folder)
    with process(*options, MOLVAE_TOKEN=TOKEN) as (child, url):
        body = {"seeds": ["CCO"], "rank_by": "tanimoto", "top": 2}
        assert httpx.post(f"{url}/v1/search", json=body).status_code == 401
        answer = httpx.post(f"{url}/v1/search", json=body, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        assert answer.json()["rows"][0]["smiles"] == "CCO"
        child.send_signal(signal.SIGINT)
        assert child.wait(20) in (0, 130)
        output = child.stderr.read() + child.stdout.read()
        assert TOKEN not in output
        assert "Traceback" not in output


@pytest.mark.slow
def test_killed_worker_costs_nothing(tiny_model):
    """The processes that parse molecules may be killed: their work is done again."""
    with process("--model", tiny_model, "--workers", 1) as (child, url):
        body = {"seeds": ["CCCO"], "n": 5, "similarity": "0:1"}
        first = httpx.post(f"{url}/v1/analogs", json=body, timeout=60).json()
        own = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(child.pid)], capture_output=True, text=True, check=True
        )
        workers = [int(line.split()[0]) for line in own.stdout.splitlines() if "popen_loky" in line]
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        assert httpx.post(f"{url}/v1/analogs", json=body, timeout=60).json() == first


def run(*arguments):
    command = [sys.executable, "-m", "molvae", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_refused_options():
    for arguments, message in {
        ("--host", "0.0.0.0"): "set a token with --token or MOLVAE_TOKEN",
        ("--token", "short"): "at least 16",
        ("--library", "nowhere"): "--library: nowhere does not exist",
        ("--library", "."): "there is no library in .",
        ("--model", "nope"): "nope",
    }.items():
        result = run(*arguments)
        assert result.returncode == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_other_commands_do_not_import_fastapi():
    code = (
        "import sys, molvae.cli.app, molvae\n"
        "print([name for name in ('fastapi', 'uvicorn', 'httpx', 'torch') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
