"""The client returns the tables of the local functions."""

from __future__ import annotations

import inspect
import sys

import numpy as np
import pandas as pd
import pytest
from tiny_vae import SMALL

import molvae
from molvae.client import ANALOG_PROPERTIES, Client, ServerError
from molvae.errors import InputError, MissingExtraError, MolvaeWarning
from molvae.explore import optimize
from molvae.generation.options import ANALOG_PROPERTIES as OWN_ANALOG_PROPERTIES
from molvae.library.indexed_library import IndexedLibrary
from molvae.metrics.score import score
from molvae.serve.limits import Limits

TOKEN = "0123456789abcdef-token"


@pytest.fixture
def client(address):
    with Client(address) as found:
        yield found


def assert_same(frame, local):
    pd.testing.assert_frame_equal(frame, local, check_dtype=False, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::molvae.errors.MolvaeWarning")
def test_tables_are_the_local_ones(client, tiny, service):
    seeds = ["CCCO", "C1CC"]
    options = {"n": 5, "similarity": (0.1, 1), "random_state": 2}
    frame, local = client.analogs(seeds, **options), tiny.analogs(seeds, **options, workers=0)
    assert_same(frame, local)
    assert frame.attrs["errors"] == local.attrs["errors"]
    assert frame.attrs["summary"] == local.attrs["summary"]
    assert_same(client.sample(4, random_state=1), tiny.sample(4, random_state=1))
    table = pd.DataFrame({"smiles": ["CCO", "C1CC"]}, index=["a", "b"])
    latents = client.encode(table)
    assert_same(latents, tiny.encode(table))
    assert_same(client.decode(latents), tiny.decode(latents))
    z = latents.filter(regex="^z").to_numpy()[:1]
    assert_same(client.decode(z, noise_level=np.array([0.2])), tiny.decode(z, noise_level=np.array([0.2])))
    assert_same(client.encode(["C1CC"]), tiny.encode(["C1CC"]))
    scores = score(SMALL[:4], columns=["mw", "sa"], workers=0)
    frame = client.score(SMALL[:4], columns=["mw", "sa"])
    assert_same(frame, scores.molecules)
    assert frame.attrs["counts"] == scores.counts
    assert_same(client.search("CCO", top=3), service.library("small").search("CCO", top=3, workers=0))
    found = client.optimize("CCCO", "qed", max_samples=50, strategy={"population_size": 8})
    from molvae.explore.latent_search import SearchStrategy

    assert_same(found, optimize(tiny, "CCCO", "qed", max_samples=50, strategy=SearchStrategy(population_size=8)))


def test_errors_of_rows_are_warnings(client):
    with pytest.warns(MolvaeWarning, match="ring 1 opened"):
        client.analogs(["CCCO", "C1CC"], n=2, similarity="0:1")


def test_stream(client):
    events = list(client.stream_analogs("CCCO", 3, similarity="0:1"))
    assert [name for name, _ in events if name not in ("found", "progress")] == ["start", "rows", "end"]
    with pytest.raises(InputError, match="mw<<5"):
        list(client.stream_analogs("CCCO", filters=["mw<<5"]))


def test_signatures():
    """As the local functions, except what names files, functions of the caller and devices."""
    not_served = {
        "model",
        "device",
        "progress",
        "workers",
        "scores",
        "precedence",
        "stock",
        "generator",
        "on_generation",
    }
    for name, function in {
        "analogs": molvae.analogs, "sample": molvae.sample, "encode": molvae.encode, "decode": molvae.decode,
        "search": IndexedLibrary.search, "optimize": optimize,
    }.items():  # fmt: skip
        local = inspect.signature(function).parameters
        own = inspect.signature(getattr(Client, name)).parameters
        assert set(own) - {"self", "library"} == set(local) - not_served - {"self"}, name
        for option in set(own) & set(local) - {"self", "strategy"}:
            assert own[option].default == local[option].default, (name, option)
            assert own[option].kind == local[option].kind, (name, option)
    assert ANALOG_PROPERTIES == OWN_ANALOG_PROPERTIES


def test_errors(client, start, address):
    with pytest.raises(InputError, match="tpza"):
        client.analogs("CCO", filters=["tpza<5"])
    with pytest.raises(InputError, match="molecules must be"):
        client.encode(5)
    with start(token=TOKEN) as http:
        url = str(http.base_url)
        with pytest.raises(ServerError, match="a token is needed") as caught:
            Client(url).info()
        assert caught.value.status == 401
        assert Client(url, TOKEN).info()["model"] == "tiny"
    with pytest.raises(ServerError, match="does not answer"):
        Client("http://127.0.0.1:9").info()
    with pytest.raises(ServerError, match="status 404"):
        Client(f"{address}/nothing").info()


def test_waits_while_the_server_is_busy(start, monkeypatch):
    with start(Limits(max_jobs=1)) as http:
        job = http.post(
            "/v1/optimize", json={"seeds": ["CCCO"], "max_samples": 500_000}, headers={"Prefer": "respond-async"}
        )
        waited = []
        monkeypatch.setattr(
            "time.sleep", lambda seconds: (waited.append(seconds), http.delete(f"/v1/jobs/{job.json()['id']}"))
        )
        assert len(Client(str(http.base_url)).encode("CCO")) == 1
        assert waited


def test_token_of_the_environment(start, monkeypatch):
    monkeypatch.setenv("MOLVAE_TOKEN", TOKEN)
    with start(token=TOKEN) as http:
        assert Client(str(http.base_url)).info()["latent_dim"] == 12


def test_missing_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"molvae\[serve\]"):
        Client()
