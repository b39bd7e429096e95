"""The requests of clients of the MolMIM service, as its documentation has them."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import QED, Descriptors

from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse
from molvae.metrics.molecules import packed_fingerprints
from molvae.serve.molmim import penalized_logp

pytestmark = pytest.mark.filterwarnings("ignore::molvae.errors.MolvaeWarning")

TOLUENE = "Cc1ccccc1"


def generated(http, path, **body):
    answer = http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["generated"]


def test_embedding_hidden_and_decode(http, tiny):
    embeddings = http.post("/embedding", json={"sequences": [TOLUENE, "CCO"]}).json()["embeddings"]
    hidden = http.post("/hidden", json={"sequences": [TOLUENE, "CCO"]}).json()
    assert hidden["hiddens"] == [[latent] for latent in embeddings]
    assert hidden["mask"] == [[True], [True]]
    np.testing.assert_allclose(embeddings, tiny.encode([TOLUENE, "CCO"]).filter(regex="^z"), rtol=1e-4, atol=1e-5)
    assert generated(http, "/decode", **hidden) == tiny.decode(np.array(embeddings))["smiles"].tolist()


def test_sampling(http):
    body = {"sequences": [TOLUENE, "CCCO"], "beam_size": 1, "num_molecules": 3, "scaled_radius": 0.7}
    found = generated(http, "/sampling", **body)
    assert [len(molecules) for molecules in found] == [3, 3]
    assert all(Chem.MolFromSmiles(smiles) for molecules in found for smiles in molecules)


def test_generate_maximizes(http):
    body = {
        "smi": TOLUENE, "algorithm": "CMA-ES", "num_molecules": 5, "property_name": "QED", "minimize": False,
        "min_similarity": 0.1, "particles": 20, "iterations": 3, "scaled_radius": 1.0,
    }  # fmt: skip
    answer = http.post("/generate", json=body).json()
    molecules = answer["generated"]
    assert 0 < len(molecules) <= 5
    values = [QED.qed(Chem.MolFromSmiles(smiles)) for smiles in molecules]
    np.testing.assert_allclose(answer["scores"], values, rtol=1e-6)
    assert values == sorted(values, reverse=True)
    bits = np.unpackbits(packed_fingerprints([TOLUENE, *molecules]), axis=1).astype(int)
    similarity = (bits[1:] & bits[0]).sum(1) / (bits[1:] | bits[0]).sum(1)
    assert (similarity >= 0.1).all()


def test_generate_minimizes_and_samples(http):
    body = {"smi": TOLUENE, "num_molecules": 5, "min_similarity": 0, "iterations": 3}
    lowest = http.post("/generate", json={**body, "property_name": "plogP", "minimize": True}).json()
    assert lowest["scores"] == sorted(lowest["scores"])
    values = penalized_logp([parse(smiles) for smiles in lowest["generated"]])
    np.testing.assert_allclose(lowest["scores"], values, rtol=1e-6)
    assert len(generated(http, "/generate", **body, algorithm="none")) == 5


def test_penalized_logp():
    mols = [parse(smiles) for smiles in ("CCCCCC", "C1CCCCCCC1", "c1ccc2ccccc2c1")]
    expected = [
        Descriptors.MolLogP(mol) - sa for mol, sa in zip(mols, compute_properties(mols, ["sa"])["sa"], strict=True)
    ]
    np.testing.assert_allclose(penalized_logp(mols), np.array(expected) - [0, 2, 0])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("embedding", {"sequences": []}),
        ("embedding", {"sequences": ["C1CC"]}),
        ("embedding", {"smiles": ["C"]}),
        ("decode", {"hiddens": [[[0.0] * 12]], "mask": []}),
        ("decode", {"hiddens": [[[0.0] * 12] * 2], "mask": [[True, True]]}),
        ("decode", {"hiddens": [[[0.0] * 11]], "mask": [[True]]}),
        ("sampling", {"sequences": [TOLUENE], "beam_size": 11}),
        ("sampling", {"sequences": [TOLUENE], "num_molecules": 0}),
        ("sampling", {"sequences": [TOLUENE], "scaled_radius": 2.1}),
        ("sampling", {"sequences": ["C1CC"]}),
        ("generate", {"smi": TOLUENE, "algorithm": "GA"}),
        ("generate", {"smi": TOLUENE, "num_molecules": 101}),
        ("generate", {"smi": TOLUENE, "iterations": 0}),
        ("generate", {"smi": TOLUENE, "particles": 1}),
        ("generate", {"smi": TOLUENE, "property_name": "logD"}),
        ("generate", {"smi": TOLUENE, "min_similarity": 0.8}),
        ("generate", {"smi": TOLUENE, "scaled_radius": -1}),
        ("generate", {"smi": "C1CC"}),
    ],
)
def test_out_of_range(http, path, body):
    answer = http.post(f"/{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]
