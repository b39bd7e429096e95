"""Each endpoint gives what the local function gives."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tiny_vae import SMALL

from molvae.explore import optimize
from molvae.generation.options import AnalogOptions
from molvae.metrics.score import score
from molvae.serve.schemas import AnalogsRequest

pytestmark = pytest.mark.filterwarnings("ignore::molvae.errors.MolvaeWarning")

SEEDS = ["CCCO", "C1CC", "Cc1ccccc1", "CCN.Cl"]
"""One is invalid, and one has a salt."""


def post(http, path, status=200, **body):
    answer = http.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def assert_same(rows, frame):
    """The rows have the columns and values of a local table, to the last digit."""
    assert list(rows[0]) == list(frame.columns)
    expected = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert rows == json.loads(json.dumps(expected))


def test_analogs(http, tiny):
    options = {"n": 8, "similarity": "0.1:1", "filters": ["mw<200"], "random_state": 3, "rank_by": "qed"}
    result = post(http, "/v1/analogs", seeds=SEEDS, **options)
    local = tiny.analogs(SEEDS, **options, workers=0)
    assert_same(result["rows"], local)
    assert [seed["seed"] for seed in result["seeds"]] == SEEDS
    assert [seed["n_rows"] for seed in result["seeds"]] == [sum(local["seed"] == seed) for seed in SEEDS]
    assert result["seeds"][1]["error"] == local.attrs["errors"]["C1CC"]
    assert result["seeds"][3]["note"] == local.attrs["notes"]["CCN.Cl"]
    found = [seed["statistics"] for seed in result["seeds"] if not seed["error"]]
    assert found == json.loads(json.dumps(local.attrs["statistics"]))
    assert result["incomplete"] == ""


def test_makeable_analogs(http, tiny):
    options = {"n": 3, "similarity": "0:1", "makeable": True, "max_steps": 2}
    result = post(http, "/v1/analogs", seeds=["Cc1ccccc1"], **options)
    assert_same(result["rows"], tiny.analogs(["Cc1ccccc1"], **options, workers=0))
    assert all(row["n_steps"] <= 2 for row in result["rows"])


def test_sample(http, tiny):
    result = post(http, "/v1/sample", n=6, random_state=5)
    assert_same(result["rows"], tiny.sample(6, random_state=5))
    assert result["statistics"]["found"] == 6


def test_encode(http, tiny):
    rows = post(http, "/v1/encode", smiles=SEEDS)["rows"]
    local = tiny.encode(SEEDS)
    assert [row["error"] for row in rows] == local["error"].tolist()
    assert [row["note"] for row in rows] == local["note"].tolist()
    assert rows[1]["latent"] is None
    latents = local.filter(regex="^z").to_numpy()
    for row in (0, 2, 3):
        np.testing.assert_allclose(rows[row]["latent"], latents[row], rtol=1e-4, atol=1e-5)


def test_decode(http, tiny):
    latents = tiny.encode(SMALL[:5]).filter(regex="^z").to_numpy()
    content = [*latents.tolist(), None, [0.0]]
    rows = post(http, "/v1/decode", latents=content, temperature=0.9, random_state=2)["rows"]
    local = tiny.decode(latents, temperature=0.9, random_state=2)
    assert_same(rows[:5], local)
    assert rows[5]["error"] == "no latent"
    assert "12 numbers, got 1" in rows[6]["error"]


def test_score(http):
    smiles, seeds = ["CCO", "C1CC", "c1ccccc1O"], ["CCC", "CCC", "c1ccccc1"]
    result = post(http, "/v1/score", smiles=smiles, seeds=seeds, columns=["mw", "qed"])
    local = score(smiles, seeds=seeds, columns=["mw", "qed"], workers=0, fcd=False)
    assert_same(result["rows"], local.molecules)
    assert result["counts"] == local.counts
    assert result["metrics"] == json.loads(json.dumps(local.metrics))
    assert len(result["per_seed"]) == len(local.seeds)


def test_search(http, service):
    result = post(http, "/v1/search", seeds=["CCO", "C1CC"], rank_by="both", top=3)
    local = service.library("small").search(["CCO", "C1CC"], rank_by="both", top=3, workers=0)
    assert_same(result["rows"], local)
    assert [seed["n_rows"] for seed in result["seeds"]] == [3, 0]
    assert "ring 1" in result["seeds"][1]["error"]
    assert "no library" in post(http, "/v1/search", 422, seeds=["CCO"], library="../small")["detail"]


def test_optimize(http, tiny):
    options = {"objective": "qed - 0.1*sa", "filters": ["similarity>=0.1"], "max_samples": 100, "random_state": 1}
    result = post(http, "/v1/optimize", seeds=["CCCO", "C1CC"], **options)
    local = optimize(tiny, ["CCCO"], **options)
    assert_same(result["rows"], local)
    assert result["seeds"][0]["statistics"]["samples"] == 100
    assert "C1CC" in result["seeds"][1]["error"]


def test_every_option_of_analogs_can_be_sent():
    """An option that is added to `Generator.analogs` is added to the request, or here."""
    not_served = {"precedence", "scores", "stock"}  # name files and functions
    assert set(AnalogsRequest.model_fields) - {"seeds"} == set(vars(AnalogOptions())) - not_served
    defaults = AnalogsRequest(seeds=["C"]).options("seeds")
    own = vars(AnalogOptions())
    assert {name: tuple(v) if isinstance(v, list) else v for name, v in defaults.items()} == {
        n: own[n] for n in defaults
    }


def test_examples_of_openapi_are_valid(http):
    schemas = http.get("/openapi.json").json()
    for path in ("analogs", "sample", "encode", "score", "optimize"):
        body = schemas["paths"][f"/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        example = schemas["components"]["schemas"][body["$ref"].rpartition("/")[2]]["examples"][0]
        assert http.post(f"/v1/{path}", json=example).status_code == 200, path


def test_health_metrics_and_info(http):
    assert http.get("/v1/health/live").json() == {"status": "live"}
    assert http.get("/v1/health/ready").json() == {"status": "ready"}
    post(http, "/v1/encode", smiles=["CCO"])
    text = http.get("/metrics").text
    assert 'molvae_jobs_total{kind="encode",status="done"}' in text
    assert 'molvae_requests_total{path="/v1/encode",status="200"}' in text
    info = http.get("/v1/info").json()
    assert info["latent_dim"] == 12
    assert info["libraries"] == {"small": len(SMALL)}


def test_root_lists_the_endpoints(http):
    page = http.get("/").text
    assert "/v1/analogs" in page
    assert "<script" not in page


def test_page_is_served_if_there_is_one(start, tmp_path):
    (tmp_path / "index.html").write_text("<p>the page</p>")
    (tmp_path / "page.js").write_text("'use strict'")
    with start(static=tmp_path, token="t" * 20) as http:
        assert http.get("/").text == "<p>the page</p>"
        assert http.get("/static/page.js").text == "'use strict'"
        assert http.get("/static/..%2f..%2fetc%2fpasswd").status_code == 404


def test_records_are_complete():
    from molvae.serve.tables import records

    frame = pd.DataFrame({"a": [1, None], "b": ["x", None], "c": [np.float32(0.1), np.inf], "d": [None, True]})
    assert records(frame) == [
        {"a": 1.0, "b": "x", "c": float(np.float32(0.1)), "d": None},
        {"a": None, "b": None, "c": None, "d": True},
    ]
    assert records(pd.DataFrame(columns=["a"])) == []
