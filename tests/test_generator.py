"""The verbs as Python methods: what is promised of every table, checked against RDKit where that can be."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator
from rdkit.Contrib.SA_Score import sascorer
from tiny_vae import SMALL

from molvae.errors import InputError
from molvae.generator import ANALOG_COLUMNS, SAMPLE_COLUMNS, Generator, MolvaeWarning

SEEDS = ["CCO", "c1ccccc1", "CC(=O)O", "OCCO"]
BAD = ["C1CC", "", "[U]", "CCO"]


def _quietly(method, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MolvaeWarning)
        return method(*args, **options)


def _by_seed(frame: pd.DataFrame) -> dict[str, list[str]]:
    return {seed: group["smiles"].tolist() for seed, group in frame.groupby("seed")}


@pytest.fixture(scope="module")
def found(tiny) -> pd.DataFrame:
    return _quietly(tiny.analogs, SEEDS, 12, seed=1)


# --- analogs ---


def test_analogs_have_the_columns_that_are_promised(found):
    assert tuple(found.columns) == ANALOG_COLUMNS
    assert tuple(ANALOG_COLUMNS) == (
        "seed", "smiles", "similarity", "log_likelihood", "qed", "sa", "logp", "mw", "novel",
    )  # fmt: skip
    assert set(found["seed"]) == set(SEEDS)


def test_analogs_are_valid_canonical_distinct_and_not_the_seed(found):
    for seed, smiles in _by_seed(found).items():
        assert all(Chem.CanonSmiles(s) == s for s in smiles)
        assert len(set(smiles)) == len(smiles)
        assert Chem.CanonSmiles(seed) not in smiles


def test_the_most_similar_come_first(found):
    for _, group in found.groupby("seed"):
        assert group["similarity"].is_monotonic_decreasing


def test_similarity_and_properties_are_rdkits(found):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    for row in found.itertuples():
        seed, mol = Chem.MolFromSmiles(row.seed), Chem.MolFromSmiles(row.smiles)
        expected = DataStructs.TanimotoSimilarity(generator.GetFingerprint(seed), generator.GetFingerprint(mol))
        assert row.similarity == pytest.approx(expected)
        assert row.qed == pytest.approx(QED.qed(mol))
        assert row.sa == pytest.approx(sascorer.calculateScore(mol))
        assert row.logp == pytest.approx(Crippen.MolLogP(mol))
        assert row.mw == pytest.approx(Descriptors.MolWt(mol))


def test_novel_means_not_in_the_training_set(found):
    members = found["smiles"].isin(SMALL)
    assert members.any()
    assert not found.loc[members, "novel"].any()
    assert found.loc[~members, "novel"].mean() > 0.9  # a Bloom filter is wrong now and then


def test_same_seed_same_molecules_however_they_are_asked_for(tiny, found):
    """Alone, together, in another order, and as a stream of small groups."""
    expected = _by_seed(found)
    for seed in SEEDS[:2]:
        assert _quietly(tiny.analogs, seed, 12, seed=1)["smiles"].tolist() == expected[seed]
    assert _by_seed(_quietly(tiny.analogs, SEEDS[::-1], 12, seed=1)) == expected
    again = _quietly(tiny.analogs, ["C1CC", *SEEDS, *SMALL[3:6]], 12, seed=1)
    assert {s: m for s, m in _by_seed(again).items() if s in SEEDS} == expected


def test_a_stream_gives_the_same(tiny, found, monkeypatch):
    monkeypatch.setattr("molvae.generator.SEEDS_AT_ONCE", 1)
    frames = _quietly(lambda: list(tiny.iter_analogs(iter(SEEDS), 12, seed=1)))
    assert len(frames) == len(SEEDS)
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), found, rtol=1e-4)


def test_a_stream_reads_no_further_than_it_needs(tiny, monkeypatch):
    monkeypatch.setattr("molvae.generator.SEEDS_AT_ONCE", 2)
    read: list[str] = []

    def seeds():
        for seed in SEEDS:
            read.append(seed)
            yield seed

    next(_quietly(tiny.iter_analogs, seeds(), 2))
    assert len(read) == 2


def test_another_seed_other_molecules(tiny, found):
    other = _by_seed(_quietly(tiny.analogs, SEEDS, 12, seed=2))
    assert all(other[seed] != smiles for seed, smiles in _by_seed(found).items())


def test_a_spent_budget_is_reported(tiny):
    with pytest.warns(MolvaeWarning, match="CCO: .* of 500 distinct molecules from 64 strings"):
        frame = tiny.analogs("CCO", 500, budget=64)
    assert 0 < len(frame) < 64
    assert len(frame.attrs["summary"]) == 1


def test_bad_seeds_are_errors_beside_the_good_ones(tiny):
    with pytest.warns(MolvaeWarning):
        frame = tiny.analogs(BAD, 3)
    assert set(frame["seed"]) == {"CCO"}
    assert set(frame.attrs["errors"]) == {"C1CC", "", "[U]"}
    assert "ring 1 opened but not closed" in frame.attrs["errors"]["C1CC"]
    assert "'[U]', which the model has never seen" in frame.attrs["errors"]["[U]"]


def test_only_bad_seeds_and_none_at_all(tiny):
    for seeds in (["C1CC"], []):
        frame = _quietly(tiny.analogs, seeds, 3)
        assert len(frame) == 0
        assert tuple(frame.columns) == ANALOG_COLUMNS


def test_a_salt_is_stripped_when_asked(tiny):
    assert set(_quietly(tiny.analogs, "CCO.[Na+].[Cl-]", 3, standardise=True)["seed"]) == {"CCO.[Na+].[Cl-]"}


def test_greedy_and_radius_0_stays_at_the_seed(tiny):
    """So few different strings are there that the budget ends it."""
    near = _quietly(tiny.analogs, "CCO", 50, radius=0.0, temperature=0.0, budget=200)
    far = _quietly(tiny.analogs, "CCO", 50, radius=0.9, temperature=0.0, budget=200)
    assert len(near) < len(far)
    assert near["similarity"].mean() > far["similarity"].mean() or near.empty


def test_progress_is_told(tiny):
    seen: list[int] = []
    _quietly(tiny.analogs, "CCO", 5, progress=seen.append)
    assert seen[-1] == 5


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"radius": 2.0}, {"decodes": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -2}]
)
def test_impossible_options_are_named(tiny, options):
    with pytest.raises(InputError):
        tiny.analogs("CCO", **options)


# --- sample ---


def test_samples_are_valid_and_distinct_and_repeatable(tiny):
    frame = tiny.sample(15, seed=4)
    assert tuple(frame.columns) == SAMPLE_COLUMNS
    assert frame["smiles"].is_unique
    assert all(Chem.CanonSmiles(s) == s for s in frame["smiles"])
    pd.testing.assert_frame_equal(frame, tiny.sample(15, seed=4))
    assert frame["smiles"].tolist() != tiny.sample(15, seed=5)["smiles"].tolist()


def test_fewer_samples_begin_as_more_do(tiny):
    assert tiny.sample(20, seed=4)["smiles"].tolist()[:5] == tiny.sample(5, seed=4)["smiles"].tolist()


# --- encode, decode, reconstruct ---


@pytest.mark.parametrize("verb", ["encode", "reconstruct"])
def test_one_row_out_per_row_in(tiny, verb):
    frame = getattr(tiny, verb)([*BAD, *SMALL, "CCO"])
    assert frame["smiles"].tolist() == [*BAD, *SMALL, "CCO"]
    assert (frame["error"] != "").tolist() == [True, True, True] + [False] * (len(SMALL) + 2)


@pytest.mark.parametrize("verb", ["encode", "reconstruct"])
def test_none_and_one_and_a_bare_string(tiny, verb):
    method = getattr(tiny, verb)
    assert len(method([])) == 0
    assert list(method([]).columns) == list(method(["CCO"]).columns)
    pd.testing.assert_frame_equal(method("CCO"), method(["CCO"]))


def test_encoding_is_a_function_of_the_molecule(tiny):
    """Not of the run, the spelling, or the rows beside it."""
    frame = tiny.encode(SMALL)
    latents = frame.filter(regex=r"^z\d").to_numpy()
    assert latents.shape == (len(SMALL), tiny.checkpoint.config.latent_size)
    np.testing.assert_array_equal(tiny.encode(SMALL).filter(regex=r"^z\d").to_numpy(), latents)
    alone = tiny.encode(SMALL[20]).filter(regex=r"^z\d").to_numpy()[0]
    np.testing.assert_allclose(alone, latents[20], atol=1e-5)
    other_spelling = tiny.encode("C(C)O").filter(regex=r"^z\d").to_numpy()[0]
    np.testing.assert_allclose(other_spelling, latents[SMALL.index("CCO")], atol=1e-5)


def test_rows_with_an_error_have_no_latent(tiny):
    frame = tiny.encode(["C1CC", "CCO"])
    assert frame.filter(regex=r"^z\d").isna().all(axis=1).tolist() == [True, False]


def test_decoding_what_was_encoded_reconstructs(tiny):
    rows = [*SMALL, "C1CC"]
    expected = tiny.reconstruct(rows)
    latents = tiny.encode(rows)
    for given in (latents, latents.filter(regex=r"^z\d").to_numpy()):
        decoded = tiny.decode(given)
        assert decoded["smiles"].tolist() == expected["reconstruction"].tolist()
    assert decoded["error"].iloc[-1] == "no latent"


def test_exact_is_equality_with_the_canonical_input(tiny):
    frame = tiny.reconstruct([*SMALL, "OCC", "C1CC"])
    for row in frame.itertuples():
        if not row.error:
            assert row.exact == (row.reconstruction == Chem.CanonSmiles(row.smiles))
    assert frame["exact"].mean() > 0.6


def test_a_string_that_is_no_molecule_is_told(tiny):
    latents = 30 * np.random.default_rng(0).standard_normal((40, tiny.checkpoint.config.latent_size))
    frame = tiny.decode(latents, temperature=2.0)
    assert len(frame) == 40
    assert ((frame["smiles"] == "") == (frame["error"] != "")).all()
    assert frame["error"].str.contains("not a molecule: '|longer than").any()


def test_sampled_decoding_follows_its_seed(tiny):
    latents = tiny.encode(SMALL)
    one, same, other = (tiny.decode(latents, temperature=1.5, seed=s)["smiles"].tolist() for s in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4)])
def test_latents_of_another_shape_are_named(tiny, shape):
    with pytest.raises(InputError, match="latents must be N x 12"):
        tiny.decode(np.zeros(shape))


def test_a_table_without_latents_is_named(tiny):
    with pytest.raises(InputError, match="z0 is missing"):
        tiny.decode(pd.DataFrame({"smiles": ["CCO"]}))


# --- loading ---


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_named(tiny_model, device):
    with pytest.raises(InputError, match=f"cannot use the device '{device}'"):
        Generator.load(tiny_model, device)


def test_the_functions_of_the_package_keep_the_model(tiny_model, tiny):
    import molvae

    pd.testing.assert_frame_equal(molvae.encode(SMALL, model=tiny_model, device="cpu"), tiny.encode(SMALL))
    assert molvae.load(tiny_model, "cpu") is molvae.load(str(tiny_model), "cpu")
    assert len(molvae.analogs("CCO", 3, model=tiny_model, device="cpu")) == 3
    assert len(molvae.sample(3, model=tiny_model, device="cpu")) == 3
    assert molvae.reconstruct("CCO", model=tiny_model, device="cpu")["exact"].all()
    assert len(molvae.decode(np.zeros((2, 12)), model=tiny_model, device="cpu")) == 2


def test_every_public_name_is_there():
    import molvae

    for name in molvae.__all__:
        assert getattr(molvae, name) is not None
    assert set(molvae.__all__) <= set(dir(molvae))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = molvae.nothing
