"""From a latent to the molecule whose own it is: what is found is compared with the encoder and with the truth."""

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
from molvae.generation.codec import Codec
from molvae.generation.latent_inversion import CHUNK_SIZE, TOLERANCE, _Inversion
from molvae.generator import Generator
from molvae.training.evaluation import Evaluator

STRANGE = ["CC(C)CCO", "CC(=O)NCc1ccccc1", "Cc1ccc(O)cc1", "CCCCCO", "Clc1ccncc1", "OCCCCO", "CC(N)C(=O)O", "CCCC(C)N"]
"""What the tiny model does not know, and mostly writes something else for."""


def latents(generator, smiles):
    return generator.encode(smiles).filter(regex=r"^z\d").to_numpy(np.float32)


@pytest.fixture(scope="module")
def corrected(tiny):
    return tiny.decode(latents(tiny, STRANGE), inversion_steps=6)


def test_of_drugs_more_come_back_and_none_is_lost():
    """The weights that ship, without whose mistakes there would be nothing to correct."""
    generator, drugs = molvae.load("druglike", "cpu"), list(DRUGS.values())
    plain = generator.reconstruct(drugs)
    found = generator.reconstruct(drugs, inversion_steps=8)
    assert (found["exact"] | ~plain["exact"]).all()
    assert found["exact"].sum() > plain["exact"].sum()
    assert (found["reconstruction"] == found["smiles"].map(CanonSmiles))[found["exact"]].all()


def test_the_distance_is_that_of_the_molecules_own_latent(tiny, corrected):
    asked, own = latents(tiny, STRANGE), latents(tiny, corrected["smiles"].tolist())
    expected = np.sqrt(np.square(own - asked).mean(1))
    np.testing.assert_allclose(corrected["distance"], expected, atol=1e-5)
    assert (expected > TOLERANCE).any(), "not all are there, or this would say little"


def test_at_no_distance_it_is_the_molecule_and_its_likelihood(tiny_checkpoint):
    tiny = Generator(tiny_checkpoint, precision="32")
    found = tiny.decode(latents(tiny, SMALL), inversion_steps=6)
    there = found["distance"] < TOLERANCE
    assert there.sum() >= 28
    assert found["smiles"][there].tolist() == [CanonSmiles(s) for s, yes in zip(SMALL, there, strict=True) if yes]
    np.testing.assert_allclose(
        found["log_likelihood"][there], tiny.likelihood(SMALL)["log_likelihood"][there], atol=1e-4
    )


def test_more_inversion_steps_are_never_further(tiny, corrected):
    far = np.inf
    for many in (1, 3, 6, 10):
        distance = tiny.decode(latents(tiny, STRANGE), inversion_steps=many)["distance"].fillna(np.inf)
        assert (distance <= far).all()
        far = distance
    plain = tiny.decode(latents(tiny, STRANGE))["smiles"].tolist()
    written = [s for s in plain if s]
    own = dict(zip(written, latents(tiny, written), strict=True))
    for asked, text, found in zip(latents(tiny, STRANGE), plain, corrected["distance"], strict=True):
        if text:
            assert found <= np.sqrt(np.square(own[text] - asked).mean()) + 1e-5, "than the greedy one, at least"


def test_a_row_depends_on_itself_alone(tiny, corrected, monkeypatch):
    z = latents(tiny, STRANGE)
    seeds = np.arange(len(z))
    for rows in ([3], [7, 0, 5]):
        some = tiny.decode(z[rows], inversion_steps=6, random_state=seeds[rows])
        expected = tiny.decode(z, inversion_steps=6, random_state=seeds).loc[rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(some, expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr("molvae.generation.latent_inversion.CHUNK_SIZE", 3)
    pd.testing.assert_frame_equal(tiny.decode(z, inversion_steps=6), corrected, rtol=1e-4, atol=1e-5)


def test_a_reconstruction_does_not_hang_on_what_stands_before_it(tiny):
    alone = tiny.reconstruct(STRANGE, inversion_steps=3)
    behind = tiny.reconstruct(["CCO", "C1CC", *STRANGE], inversion_steps=3)
    assert behind["reconstruction"].tolist()[2:] == alone["reconstruction"].tolist()


def test_when_all_is_found_it_ends(tiny, monkeypatch):
    turns = []
    monkeypatch.setattr(
        "molvae.generation.latent_inversion._Inversion.advance",
        lambda part, step, real=_Inversion.advance: (turns.append(step), real(part, step)),
    )
    assert tiny.decode(latents(tiny, ["CCO"]), inversion_steps=500)["distance"][0] < TOLERANCE
    assert turns == [0]


def test_where_nothing_is_a_molecule_what_was_written_is_told(tiny):
    """Far out, at temperature so high that only by chance a string is one."""
    z = 30 * np.random.default_rng(0).standard_normal((20, 12)).astype(np.float32)
    plain, found = tiny.decode(z), tiny.decode(z, inversion_steps=1, temperature=8.0)
    none = found["smiles"] == ""
    assert none.any()
    assert found["distance"].isna().tolist() == none.tolist()
    columns = ["smiles", "log_likelihood", "error"]
    pd.testing.assert_frame_equal(found.loc[none, columns], plain.loc[none, columns])


def test_rows_without_a_latent_stay_in_their_places_and_progress_adds_up(tiny):
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
def test_every_kind_of_model_can_be_corrected(latent, decoder):
    model, config, vocabulary = trained(latent, decoder, 60)
    generator = Generator(Checkpoint("other", model, config, vocabulary), "cpu")
    plain = generator.reconstruct(list(SMALL))["exact"].sum()
    found = generator.reconstruct(list(SMALL), inversion_steps=8)
    assert found["exact"].sum() > plain


def test_what_cannot_be_asked_is_rejected(tiny):
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


def test_an_evaluation_counts_the_same(tiny, tiny_checkpoint):
    from molvae.data.featurize import featurize
    from molvae.data.graph_dataset import PackedGraphs

    data = PackedGraphs.from_graphs(featurize(STRANGE), tiny_checkpoint.vocabulary)
    evaluator = Evaluator(Codec.from_checkpoint(tiny_checkpoint))
    expected = tiny.reconstruct(STRANGE, inversion_steps=8)["exact"].tolist()
    assert evaluator.exact_reconstructions(data, inversion_steps=8).tolist() == expected
