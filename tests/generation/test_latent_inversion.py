"""Latent inversion, compared with the encoder and with the original molecules."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit.Chem import CanonSmiles
from tiny_vae import SMALL, trained

import molvae
from molvae.checkpoint import Checkpoint
from molvae.errors import InputError
from molvae.generation import latent_inversion
from molvae.generation.codec import Codec
from molvae.generation.latent_inversion import CHUNK_SIZE, TOLERANCE, _Inversion
from molvae.generator import Generator
from molvae.training.evaluation import Evaluator

UNSEEN = ["CC(C)CCO", "CC(=O)NCc1ccccc1", "Cc1ccc(O)cc1", "CCCCCO", "Clc1ccncc1", "OCCCCO", "CC(N)C(=O)O", "CCCC(C)N"]
"""Molecules that the tiny model was not trained on and mostly does not reconstruct."""


def latents(generator, smiles):
    return generator.encode(smiles).filter(regex=r"^z\d").to_numpy(np.float32)


@pytest.fixture(scope="module")
def inverted(tiny):
    return tiny.decode(latents(tiny, UNSEEN), inversion_steps=6)


def test_inversion_reconstructs_more_drugs():
    """With the shipped weights."""
    generator, drugs = molvae.load("druglike", "cpu"), list(DRUGS.values())
    plain = generator.reconstruct(drugs)
    found = generator.reconstruct(drugs, inversion_steps=8)
    assert (found["exact"] | ~plain["exact"]).all()
    assert found["exact"].sum() > plain["exact"].sum()
    assert (found["reconstruction"] == found["smiles"].map(CanonSmiles))[found["exact"]].all()


def test_distance_is_to_the_latent_of_the_molecule(tiny, inverted):
    z, own = latents(tiny, UNSEEN), latents(tiny, inverted["smiles"].tolist())
    expected = np.sqrt(np.square(own - z).mean(1))
    np.testing.assert_allclose(inverted["distance"], expected, atol=1e-5)
    assert (expected > TOLERANCE).any(), "some molecules are not found exactly"


def test_distance_zero_is_the_original_molecule(tiny_checkpoint):
    tiny = Generator(tiny_checkpoint, precision="32")
    found = tiny.decode(latents(tiny, SMALL), inversion_steps=6)
    reached = found["distance"] < TOLERANCE
    assert reached.sum() >= 28
    assert found["smiles"][reached].tolist() == [CanonSmiles(s) for s, yes in zip(SMALL, reached, strict=True) if yes]
    np.testing.assert_allclose(
        found["log_likelihood"][reached], tiny.likelihood(SMALL)["log_likelihood"][reached], atol=1e-4
    )


def test_more_steps_never_increase_the_distance(tiny, inverted):
    previous = np.inf
    for steps in (1, 3, 6, 10):
        distance = tiny.decode(latents(tiny, UNSEEN), inversion_steps=steps)["distance"].fillna(np.inf)
        assert (distance <= previous).all()
        previous = distance
    plain = tiny.decode(latents(tiny, UNSEEN))["smiles"].tolist()
    molecules = [s for s in plain if s]
    own = dict(zip(molecules, latents(tiny, molecules), strict=True))
    for z, text, found in zip(latents(tiny, UNSEEN), plain, inverted["distance"], strict=True):
        if text:
            assert found <= np.sqrt(np.square(own[text] - z).mean()) + 1e-5, "not farther than the greedy sample"


def test_rows_are_independent(tiny, inverted, monkeypatch):
    z = latents(tiny, UNSEEN)
    random_states = np.arange(len(z))
    for rows in ([3], [7, 0, 5]):
        some = tiny.decode(z[rows], inversion_steps=6, random_state=random_states[rows])
        expected = tiny.decode(z, inversion_steps=6, random_state=random_states).loc[rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(some, expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(latent_inversion, "CHUNK_SIZE", 3)
    pd.testing.assert_frame_equal(tiny.decode(z, inversion_steps=6), inverted, rtol=1e-4, atol=1e-5)


def test_reconstruction_does_not_depend_on_other_rows(tiny):
    alone = tiny.reconstruct(UNSEEN, inversion_steps=3)
    with_other_rows = tiny.reconstruct(["CCO", "C1CC", *UNSEEN], inversion_steps=3)
    assert with_other_rows["reconstruction"].tolist()[2:] == alone["reconstruction"].tolist()


def test_inversion_ends_when_all_molecules_are_found(tiny, monkeypatch):
    steps_run = []
    monkeypatch.setattr(
        _Inversion,
        "advance",
        lambda part, step, real=_Inversion.advance: (steps_run.append(step), real(part, step)),
    )
    assert tiny.decode(latents(tiny, ["CCO"]), inversion_steps=500)["distance"][0] < TOLERANCE
    assert steps_run == [0]


def test_without_any_molecule_the_greedy_sample_is_reported(tiny):
    """Far from the training latents, at a temperature at which samples are rarely valid."""
    z = 30 * np.random.default_rng(0).standard_normal((20, 12)).astype(np.float32)
    plain, found = tiny.decode(z), tiny.decode(z, inversion_steps=1, temperature=8.0)
    none = found["smiles"] == ""
    assert none.any()
    assert found["distance"].isna().tolist() == none.tolist()
    columns = ["smiles", "log_likelihood", "error"]
    pd.testing.assert_frame_equal(found.loc[none, columns], plain.loc[none, columns])


def test_invalid_rows_and_progress(tiny):
    z = latents(tiny, [*SMALL[:5], "C1CC", *SMALL[5:9]])
    steps = []
    found = tiny.decode(z, inversion_steps=2, progress=steps.append)
    assert list(found.columns) == ["smiles", "log_likelihood", "distance", "error"]
    assert found["error"].tolist() == [*[""] * 5, "latent is not finite", *[""] * 4]
    assert np.isnan(found["distance"][5])
    assert steps == sorted(steps)
    assert steps[-1] == 9
    assert len(z) < CHUNK_SIZE
    assert len(tiny.decode(z[:0], inversion_steps=2)) == 0
    assert tiny.reconstruct(["C1CC"], inversion_steps=2)["reconstruction"].tolist() == [""]


@pytest.mark.parametrize(("latent", "decoder"), [("hypersphere", "gru"), ("deterministic", "transformer")])
def test_inversion_with_each_latent_and_decoder(latent, decoder):
    model, config, vocabulary = trained(latent, decoder, 60)
    generator = Generator(Checkpoint("other", model, config, vocabulary), "cpu")
    plain = generator.reconstruct(list(SMALL))["exact"].sum()
    found = generator.reconstruct(list(SMALL), inversion_steps=8)
    assert found["exact"].sum() > plain


def test_invalid_options(tiny):
    z = latents(tiny, SMALL[:2])
    with pytest.raises(InputError, match="inversion_steps must be a whole number"):
        tiny.decode(z, inversion_steps=-1)
    with pytest.raises(InputError, match="inversion_steps must be a whole number"):
        tiny.reconstruct("CCO", inversion_steps=-1)
    with pytest.raises(InputError, match=r"got 2\.5"):
        tiny.decode(z, inversion_steps=2.5)
    with pytest.raises(InputError, match="either optimize_latents or inversion_steps"):
        tiny.reconstruct("CCO", inversion_steps=2, optimize_latents=True)
    with pytest.raises(InputError, match="either inversion_steps or branch_from"):
        tiny.decode(z, inversion_steps=2, branch_from=["CCO", ""])


def test_evaluator_agrees_with_generator(tiny, tiny_checkpoint):
    from molvae.data.featurize import featurize
    from molvae.data.graph_dataset import PackedGraphs

    data = PackedGraphs.from_graphs(featurize(UNSEEN), tiny_checkpoint.vocabulary)
    evaluator = Evaluator(Codec.from_checkpoint(tiny_checkpoint))
    expected = tiny.reconstruct(UNSEEN, inversion_steps=8)["exact"].tolist()
    assert evaluator.exact_reconstructions(data, inversion_steps=8).tolist() == expected
