"""Tokens, limits, headers, and what a request may not name."""

from __future__ import annotations

import json
import logging
import socket

import pytest

from molvae.errors import InputError
from molvae.serve.access import check_access
from molvae.serve.limits import Limits
from molvae.serve.server import open_socket

pytestmark = pytest.mark.filterwarnings("ignore::molvae.errors.MolvaeWarning")

TOKEN = "0123456789abcdef-token"
SMILES = ["CCO"]


def test_token(start, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with start(token=TOKEN) as http:
        assert http.post("/v1/encode", json={"smiles": SMILES}).status_code == 401
        for value in ("", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \u00e9".encode()):
            answer = http.get("/metrics", headers={"Authorization": value})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert http.get(f"/v1/info?token={TOKEN[:-1]}").status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert http.post("/v1/encode", json={"smiles": SMILES}, headers=headers).status_code == 200
        assert http.get("/v1/jobs/x", headers=headers).status_code == 404
        for public in ("/", "/docs", "/openapi.json", "/v1/health/live", "/v1/health/ready"):
            assert http.get(public).status_code == 200
    output = capfd.readouterr()
    assert TOKEN not in caplog.text + output.out + output.err


def test_other_hosts_need_a_token():
    for host in ("127.0.0.1", "localhost", "::1"):
        check_access(host, None)
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(InputError, match="set a token"):
            check_access(host, None)
        check_access(host, TOKEN)
    for token in ("short", "x" * 20 + " y", "é" * 20, ""):
        with pytest.raises(InputError, match="the token must"):
            check_access("127.0.0.1", token)


def test_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="cannot listen on"):
        open_socket("127.0.0.1", taken.getsockname()[1])


def test_host_names(start):
    with start(hosts=("localhost", "127.0.0.1", "[::1]")) as http:
        assert http.get("/v1/health/live").status_code == 200
        assert http.get("/v1/health/live", headers={"Host": "[::1]:80"}).status_code == 200
        assert http.get("/v1/health/live", headers={"Host": "evil.example"}).status_code == 400


def test_headers_of_every_response(http):
    for answer in (http.get("/"), http.get("/nothing"), http.post("/v1/encode", content=b"{"), http.get("/metrics")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers


def test_cors_only_if_asked(start):
    preflight = {"Origin": "https://lab.example", "Access-Control-Request-Method": "POST"}
    with start(cors_origins=["https://lab.example"], token=TOKEN) as http:
        answer = http.options("/v1/encode", headers=preflight)
        assert answer.headers["access-control-allow-origin"] == "https://lab.example"
        other = http.options("/v1/encode", headers={**preflight, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        refused = http.post("/v1/encode", json={"smiles": SMILES}, headers={"Origin": "https://lab.example"})
        assert refused.status_code == 401


def chunks(size):
    """A body without a length."""
    yield b'{"smiles": ["CCO"'
    for _ in range(size // 1000):
        yield b" " * 1000
    yield b"]}"


def test_body_size(start):
    """The answer arrives although the client sends its whole body first."""
    with start(Limits(max_body_bytes=5000)) as http:
        for body in (b" " * 6000, b" " * 20_000_000, chunks(10_000), chunks(2_000_000)):
            answer = http.post("/v1/encode", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 413
            assert "5,000 bytes" in answer.json()["detail"]
        assert http.post("/v1/encode", json={"smiles": SMILES}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("analogs", {"seeds": ["C"] * 51}, "limit of this server is 50"),
        ("analogs", {"seeds": []}, "seeds is empty"),
        ("analogs", {"seeds": ["C", "CC"], "n": 3000}, "3,000 molecules for each of 2 seeds"),
        ("analogs", {"seeds": ["C"], "n": 10, "max_samples": 10_000_000}, "10,000,000 samples"),
        ("analogs", {"seeds": ["C"], "filters": ["mw<<5"]}, "mw<<5"),
        ("analogs", {"seeds": ["C"], "filters": ["tpza<5"]}, "tpsa"),
        ("analogs", {"seeds": ["C"], "include_smarts": ["[["]}, "[["),
        ("analogs", {"seeds": ["C"], "similarity": "2"}, "imilarity"),
        ("analogs", {"seeds": ["C"], "n": "many"}, "body.n"),
        ("analogs", {"seeds": ["C"], "n": 0}, "body.n"),
        ("analogs", {"seeds": [5]}, "body.seeds.0"),
        ("analogs", {"seeds": ["C"], "precedence": "/etc/passwd"}, "body.precedence"),
        ("analogs", {"seeds": ["C"], "scores": ["rules.py:f"]}, "body.scores"),
        ("analogs", {"seeds": ["C"], "model": "/etc"}, "body.model"),
        ("analogs", {}, "body.seeds"),
        ("sample", {"n": 6000}, "6,000 molecules"),
        ("sample", {"prior": "learned"}, "no learned prior"),
        ("decode", {"latents": [[0.0] * 12] * 2, "noise_level": [0.1]}, "one per latent (2), got 1"),
        ("decode", {"latents": [[0.0] * 12], "noise_level": 2}, "noise_level"),
        ("score", {"smiles": ["C"], "columns": ["nope"]}, "nope"),
        ("score", {"smiles": ["C", "CC"], "seeds": ["C", "C", "C"]}, "one per molecule (2), got 3"),
        ("score", {"smiles": ["C"], "train": "moses:train"}, "body.train"),
        ("search", {"seeds": ["C"], "library": "/etc"}, "there is no library"),
        ("optimize", {"seeds": ["C"], "objective": "rules.py:f"}, "unknown property 'rules'"),
        ("optimize", {"seeds": ["C"], "objective": "/tmp"}, "/tmp"),
        ("optimize", {"seeds": ["C"], "filters": ["nope>1"]}, "nope"),
    ],
)  # fmt: skip
def test_invalid_requests(http, path, body, message):
    answer = http.post(f"/v1/{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert message in answer.json()["detail"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"smiles": [1e999]}', b"\xff\xfe", b'"CCO"'])
def test_malformed_json(http, content):
    answer = http.post("/v1/encode", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


def test_not_finite_numbers(http):
    content = json.dumps({"latents": [[float("nan")] * 12]}).encode()
    answer = http.post("/v1/decode", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422)
    assert "Traceback" not in answer.text
    answer = http.post("/v1/decode", json={"latents": [[1e300] * 12, [None] * 12]})
    assert [row["error"] for row in answer.json()["rows"]] == ["latent is not finite"] * 2


def test_large_smiles_is_an_error_of_its_row(http):
    long, big = "C" * 2000, "C" * 300
    rows = http.post("/v1/encode", json={"smiles": [long, "CCO", big]}).json()["rows"]
    assert "2,000 characters" in rows[0]["error"]
    assert rows[1]["error"] == ""
    assert "300 atoms" in rows[2]["error"]
    assert [row["smiles"] for row in rows] == [long, "CCO", big]
    scored = http.post("/v1/score", json={"smiles": [long, "CCO"], "columns": ["mw"]}).json()["rows"]
    assert "2,000 characters" in scored[0]["error"]
    for path in ("analogs", "search", "optimize"):
        options = {"max_samples": 100} if path == "optimize" else {"n": 2} if path == "analogs" else {}
        seeds = http.post(f"/v1/{path}", json={"seeds": [big, "CCCO"], **options}).json()["seeds"]
        assert ["300 atoms" in seed["error"] for seed in seeds] == [True, False]


def test_no_file_is_read(http, tmp_path, monkeypatch):
    """Texts that are names of files are invalid SMILES, whatever the files contain."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seeds.smi").write_text("CCCCCCCO secret\n")
    (tmp_path / "CCO").write_text("CCCCCCCO secret\n")
    (tmp_path / "rules.py").write_text("raise SystemExit('executed')\ndef f(mol): return 1\n")
    (tmp_path / "similarity").mkdir()
    names = ["seeds.smi", str(tmp_path / "seeds.smi"), "file:///etc/passwd", "rules.py:f", "-"]
    for smiles in (names, *([name] for name in names), names[0]):
        for row in http.post("/v1/encode", json={"smiles": smiles}).json()["rows"]:
            assert row["error"]
            assert "CCCCCCCO" not in str(row)
    for name in names:
        for path, body in {
            "analogs": {"seeds": name, "n": 2}, "optimize": {"seeds": name, "max_samples": 10},
            "search": {"seeds": name}, "score": {"smiles": name, "columns": ["mw"]},
        }.items():  # fmt: skip
            answer = http.post(f"/v1/{path}", json=body)
            rows = answer.json()["seeds"] if "seeds" in body else answer.json()["rows"]
            assert len(rows) == 1, path
            assert rows[0]["error"], path
            assert "CCCCCCCO" not in answer.text
    found = http.post("/v1/optimize", json={"seeds": "CCCO", "objective": "similarity", "max_samples": 50})
    assert found.status_code == 200
    assert found.json()["seeds"][0]["error"] == ""


def test_methods_and_paths(http):
    assert http.get("/v1/analogs").status_code == 405
    assert http.get("/v2/analogs").status_code == 404
    assert http.get("/v1/jobs/../../etc/passwd").status_code == 404
    assert "detail" in http.get("/nothing").json()
