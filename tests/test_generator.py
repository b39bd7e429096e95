"""Generator: tables of samples, latents and reconstructions, and module-level functions."""

from __future__ import annotations

import dataclasses
import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from tiny_vae import SMALL, trained

import molvae
from molvae import api
from molvae.checkpoint import Checkpoint, save
from molvae.errors import InputError, MoleculeError, MolvaeWarning
from molvae.generation.options import AnalogOptions
from molvae.generation.runner import SAMPLE_COLUMNS
from molvae.generator import Generator
from molvae.nn.autoencoder import Autoencoder

SEEDS = ["CCO", "c1ccccc1", "CC(=O)O", "OCCO"]
INVALID = ["C1CC", "", "[U]", "CCO"]


def ignore_warnings(method, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MolvaeWarning)
        return method(*args, **options)


# --- sample ---


def test_samples_are_valid_distinct_and_reproducible(tiny):
    frame = tiny.sample(15, random_state=4)
    assert tuple(frame.columns) == SAMPLE_COLUMNS
    assert frame["smiles"].is_unique
    assert all(Chem.CanonSmiles(s) == s for s in frame["smiles"])
    pd.testing.assert_frame_equal(frame, tiny.sample(15, random_state=4))
    assert frame["smiles"].tolist() != tiny.sample(15, random_state=5)["smiles"].tolist()


def test_first_samples_do_not_depend_on_n(tiny):
    assert tiny.sample(20, random_state=4)["smiles"].tolist()[:5] == tiny.sample(5, random_state=4)["smiles"].tolist()


# --- encode, decode, reconstruct ---


@pytest.mark.parametrize("method", ["encode", "reconstruct"])
def test_one_row_per_input(tiny, method):
    frame = getattr(tiny, method)([*INVALID, *SMALL, "CCO"])
    assert frame["smiles"].tolist() == [*INVALID, *SMALL, "CCO"]
    assert (frame["error"] != "").tolist() == [True, True, True] + [False] * (len(SMALL) + 2)


@pytest.mark.parametrize("method", ["encode", "reconstruct"])
def test_zero_and_one_input(tiny, method):
    function = getattr(tiny, method)
    assert len(function([])) == 0
    assert list(function([]).columns) == list(function(["CCO"]).columns)
    pd.testing.assert_frame_equal(function("CCO"), function(["CCO"]))


def test_latents_depend_on_the_molecule_only(tiny):
    """Not on the call, the spelling of the SMILES, or other rows."""
    frame = tiny.encode(SMALL)
    latents = frame.filter(regex=r"^z\d").to_numpy()
    assert latents.shape == (len(SMALL), tiny.checkpoint.config.latent_dim)
    np.testing.assert_array_equal(tiny.encode(SMALL).filter(regex=r"^z\d").to_numpy(), latents)
    alone = tiny.encode(SMALL[20]).filter(regex=r"^z\d").to_numpy()[0]
    np.testing.assert_allclose(alone, latents[20], atol=1e-5)
    other_spelling = tiny.encode("C(C)O").filter(regex=r"^z\d").to_numpy()[0]
    np.testing.assert_allclose(other_spelling, latents[SMALL.index("CCO")], atol=1e-5)


def test_invalid_rows_have_nan_latents(tiny):
    frame = tiny.encode(["C1CC", "CCO"])
    assert frame.filter(regex=r"^z\d").isna().all(axis=1).tolist() == [True, False]


def test_decode_of_encode_equals_reconstruct(tiny):
    rows = [*SMALL, "C1CC"]
    expected = tiny.reconstruct(rows)
    latents = tiny.encode(rows)
    for given in (latents, latents.filter(regex=r"^z\d").to_numpy()):
        decoded = tiny.decode(given)
        assert decoded["smiles"].tolist() == expected["reconstruction"].tolist()
    assert decoded["error"].iloc[-1] == "latent is not finite"


def test_exact(tiny):
    frame = tiny.reconstruct([*SMALL, "OCC", "C1CC"])
    for row in frame.itertuples():
        if not row.error:
            assert row.exact == (row.reconstruction == Chem.CanonSmiles(row.smiles))
    assert frame["exact"].mean() > 0.6


def test_invalid_samples_are_reported(tiny):
    latents = 30 * np.random.default_rng(0).standard_normal((40, tiny.checkpoint.config.latent_dim))
    frame = tiny.decode(latents, temperature=2.0)
    assert len(frame) == 40
    assert ((frame["smiles"] == "") == (frame["error"] != "")).all()
    assert frame["error"].str.contains("not a molecule: '|longer than the maximum").any()


def test_sampled_decoding_is_reproducible(tiny):
    latents = tiny.encode(SMALL)
    one, same, other = (tiny.decode(latents, temperature=1.5, random_state=s)["smiles"].tolist() for s in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4)])
def test_latents_of_wrong_shape(tiny, shape):
    with pytest.raises(InputError, match=r"latents must have shape \(N, 12\)"):
        tiny.decode(np.zeros(shape))


def test_table_without_latents(tiny):
    with pytest.raises(InputError, match="z0 is missing"):
        tiny.decode(pd.DataFrame({"smiles": ["CCO"]}))


# --- loading ---


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "abacus"])
def test_unknown_device(tiny_model, device):
    with pytest.raises(InputError, match=f"cannot use the device '{device}'"):
        Generator.load(tiny_model, device)


def test_module_functions(tiny_model, tiny):
    import molvae

    pd.testing.assert_frame_equal(molvae.encode(SMALL, model=tiny_model, device="cpu"), tiny.encode(SMALL))
    assert molvae.load(tiny_model, "cpu") is molvae.load(str(tiny_model), "cpu")
    assert len(molvae.analogs("CCO", 3, model=tiny_model, device="cpu")) == 3
    assert len(molvae.sample(3, model=tiny_model, device="cpu")) == 3
    assert molvae.reconstruct("CCO", model=tiny_model, device="cpu")["exact"].all()
    assert len(molvae.decode(np.zeros((2, 12)), model=tiny_model, device="cpu")) == 2


def test_public_names():
    import molvae

    for name in molvae.__all__:
        assert getattr(molvae, name) is not None
    assert set(molvae.__all__) <= set(dir(molvae))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = molvae.nothing


@pytest.mark.parametrize("function", [molvae.analogs, Generator.analogs, Generator.iter_analogs])
def test_signatures_are_explicit(function):
    parameters = inspect.signature(function).parameters
    assert {field.name for field in dataclasses.fields(AnalogOptions)} <= set(parameters)
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values())


def test_unknown_option_is_a_type_error(tiny):
    with pytest.raises(TypeError, match="similarty"):
        tiny.analogs("CCO", similarty=0.5)


# --- likelihood ---


def test_likelihood_equals_that_of_decoding(tiny_checkpoint):
    tiny = Generator(tiny_checkpoint, precision="32")  # the number format of training
    latents = tiny.encode(SMALL)
    decoded, known = tiny.decode(latents), tiny.likelihood(SMALL)
    exact = (decoded["smiles"] == known["smiles"]).to_numpy()
    assert exact.sum() > 20
    np.testing.assert_allclose(known["log_likelihood"][exact], decoded["log_likelihood"][exact], atol=1e-4)
    assert list(known["n_tokens"][:2]) == [4, 4]  # C C O end


def test_likelihood_of_invalid_molecules(tiny):
    table = tiny.likelihood(["CCO", "C1CC", "[U]"])
    assert list(table["error"] == "") == [True, False, False]
    assert list(table["log_likelihood"].isna()) == [False, True, True]
    assert "ring 1 opened but not closed" in table["error"][1]
    assert len(tiny.likelihood([])) == 0
    assert tiny.likelihood("CCN")["log_likelihood"][0] > tiny.likelihood("CN(C)C(=N)NC(=N)N")["log_likelihood"][0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"noise_level": -0.1}, "noise_level must be between 0 and 1"),
        ({"noise_level": float("nan")}, "noise_level must be between 0 and 1"),
        ({"noise_level": [0.5, 0.5, 2.0]}, "noise_level must be between 0 and 1"),
        ({"noise_level": [0.5, 0.5]}, r"noise_level must be a number or one per latent \(3\)"),
        ({"noise_level": "far"}, "noise_level must be a number or one number per latent, got 'far'"),
        ({"random_state": 0.5}, "random_state must be a number or one number per latent, got 0.5"),
        ({"random_state": [[1, 2, 3]]}, r"one per latent \(3\), got an array of \(1, 3\)"),
        ({"random_state": 2**70}, "random_state must be a number"),
    ],
)
def test_invalid_decoding_options(tiny, wrong, message):
    with pytest.raises(InputError, match=message):
        tiny.decode(np.zeros((3, 12)), **wrong)
    with pytest.raises(InputError, match="latents must be numeric"):
        tiny.decode(np.array([["a"] * 12]))


def test_latents_that_are_not_finite(tiny):
    """Options per latent may be any sequence."""
    z = np.random.default_rng(1).normal(size=(4, 12))
    expected = tiny.decode(z, noise_level=np.array([0.1, 0.2, 0.3, 0.4]), random_state=np.arange(4), temperature=1.0)
    z[1, 3], z[2, 0] = np.inf, np.nan
    for noise_level, random_state in (
        ([0.1, 0.2, 0.3, 0.4], range(4)),
        (pd.Series([0.1, 0.2, 0.3, 0.4]), [0, 1, 2, 3]),
    ):
        table = tiny.decode(z, noise_level=noise_level, random_state=random_state, temperature=1.0)
        assert table["error"][1] == table["error"][2] == "latent is not finite"
        pd.testing.assert_frame_equal(table.iloc[[0, 3]], expected.iloc[[0, 3]])


def test_lone_surrogates(tiny):
    """Python decodes invalid bytes in command line arguments to lone surrogates."""
    texts = ["CCO", "CC\udce9"]
    for table in (tiny.reconstruct(texts), tiny.likelihood(texts), tiny.encode(texts)):
        assert table["smiles"].tolist() == texts
        assert list(table["error"] == "") == [True, False]


def test_noise_level_and_random_state_per_latent(tiny):
    """A sample then depends on its own row only."""
    latents = np.random.default_rng(0).normal(size=(12, 12))
    noise_level, random_state = np.linspace(0, 1, 12), np.arange(12) + 100
    together = tiny.decode(latents, noise_level=noise_level, random_state=random_state, temperature=1.5)
    swapped = tiny.decode(
        latents[::-1].copy(), noise_level=noise_level[::-1], random_state=random_state[::-1].copy(), temperature=1.5
    )
    pd.testing.assert_frame_equal(together, swapped[::-1].reset_index(drop=True))
    others = tiny.decode(latents, noise_level=noise_level, random_state=random_state + 1, temperature=1.5)
    unconditioned = tiny.decode(latents, random_state=random_state, temperature=1.5)
    assert not together.equals(others)
    assert not together["log_likelihood"].equals(unconditioned["log_likelihood"])


def test_branch_from(tiny):
    """Samples differ from the SMILES that they branch from; rows without one do not change."""
    latents = tiny.encode(["CCCCO", "CCCCO", "CCO"] * 20)
    branch_from = ["CCCCO", "", "CCO"] * 20
    table = tiny.decode(latents, temperature=1.0, random_state=3, branch_from=branch_from)
    free = tiny.decode(latents, temperature=1.0, random_state=3)
    texts = table["smiles"].where(table["smiles"] != "", table["error"])
    assert (table["smiles"][1::3] == free["smiles"][1::3]).all()
    assert not any(text == own for text, own in zip(texts, branch_from, strict=True))
    assert (free["smiles"][::3] == "CCCCO").mean() > 0.5
    with pytest.raises(InputError, match="60 latents, 2 SMILES"):
        tiny.decode(latents, branch_from=["C", "C"])
    with pytest.raises(MoleculeError, match=r"\[U\]"):
        tiny.decode(latents[:1], branch_from=["[U]"])


def test_latents_are_projected_onto_the_sphere():
    """Traversals and optimization leave it, and a hypersphere model is trained with latents on the sphere only."""
    model, config, vocabulary = trained("hypersphere", "gru", 60)
    generator = Generator(Checkpoint("sphere", model, config, vocabulary), "cpu")
    on_sphere = generator.encode(list(SMALL)).filter(regex=r"^z\d+$").to_numpy()
    np.testing.assert_allclose(np.linalg.norm(on_sphere, axis=1), np.sqrt(config.latent_dim), rtol=1e-5)
    for scaled in (0.1 * on_sphere, 3.0 * on_sphere):
        pd.testing.assert_frame_equal(generator.decode(scaled), generator.decode(on_sphere))


# --- optimized latents ---

UNSEEN = ["CC(=O)NCc1ccccc1", "CC(C)CCO", "CCO"]


def test_optimized_latents_reconstruct_more_molecules(tiny):
    plain, optimized_exact = (
        tiny.reconstruct(UNSEEN, optimize_latents=optimize)["exact"].tolist() for optimize in (False, True)
    )
    assert plain == [False, False, True]
    assert sum(optimized_exact) > sum(plain)
    z, optimized = (
        tiny.encode(UNSEEN, optimize_latents=optimize).filter(regex="z").to_numpy() for optimize in (False, True)
    )
    assert not np.array_equal(z[0], optimized[0])
    decoded = tiny.decode(optimized)["smiles"]
    assert [smiles == text for smiles, text in zip(decoded, UNSEEN, strict=True)] == optimized_exact


def test_optimized_latent_does_not_depend_on_other_seeds(tiny):
    alone = tiny.analogs(UNSEEN[0], 5, max_samples=200)
    together = tiny.analogs([*UNSEEN[1:], UNSEEN[0]], 5, max_samples=200)
    together = together[together["seed"] == UNSEEN[0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.drop(columns="id"), together.drop(columns="id"), check_exact=True)


# --- loading, options and index ---


def test_rewritten_model_is_loaded_again(tiny_checkpoint, tmp_path, monkeypatch):
    folder = save(tiny_checkpoint, tmp_path / "first" / "m")
    first = api.load(folder, "cpu")
    assert api.load(str(folder), "cpu") is first
    save(dataclasses.replace(tiny_checkpoint, name="another"), folder)
    assert api.load(folder, "cpu").checkpoint.name == "another"
    save(tiny_checkpoint, tmp_path / "second" / "m")
    monkeypatch.chdir(tmp_path / "first")
    assert api.load("m", "cpu").checkpoint.name == "another"
    monkeypatch.chdir(tmp_path / "second")
    assert api.load("m", "cpu").checkpoint.name == "tiny"


def test_repr(tiny):
    parameters = sum(parameter.numel() for parameter in tiny.model.parameters())
    assert repr(tiny) == (
        "Generator(name='tiny', encoder='dmpnn', latent='gaussian', latent_dim=12, decoder='gru', "
        f"parameters={parameters:,}, learned_prior=None, device='cpu')"
    )


def test_lazy_modules():
    assert molvae.explore.interpolate is not None
    assert {"explore", "analogs"} <= set(dir(molvae))


def test_rdkit_molecules_and_tables_are_molecules(tiny):
    mol = Chem.MolFromSmiles("OCC")
    expected = tiny.encode(["CCO"])
    for molecules in (mol, [mol], pd.DataFrame({"Canonical SMILES": ["CCO"]})):
        pd.testing.assert_frame_equal(tiny.encode(molecules), expected)
    assert len(tiny.analogs([mol], 2)) == 2


def test_reconstruct_with_untrained_model(tiny_checkpoint):
    fresh = Autoencoder.from_config(tiny_checkpoint.config)
    frame = Generator(dataclasses.replace(tiny_checkpoint, model=fresh)).reconstruct(["CCO", "C1CC"])
    assert frame.attrs["n_invalid"] == 1
    assert frame["error"].str.contains("not a molecule|longer than the maximum").tolist() == [True, False]


def test_numpy_random_state(tiny):
    z = tiny.encode(["CCO", "CCN"]).filter(regex="^z").to_numpy()
    first, second = (tiny.decode(z, temperature=1.0, random_state=number) for number in (3, np.int64(3)))
    pd.testing.assert_frame_equal(first, second)


def test_temperature_nan(tiny):
    with pytest.raises(InputError, match="temperature must be a number"):
        tiny.sample(3, temperature=float("nan"))


def test_filters_from_an_iterator(tiny):
    assert ignore_warnings(tiny.analogs, "CCO", 3, filters=iter(["mw<1"]), max_samples=50).empty


@pytest.mark.parametrize(
    ("n", "message"),
    [(0, "must be 1 or more, got 0"), ("10", "n must be a whole number, got '10'"), (None, "n must be a whole number")],
)
def test_invalid_n(tiny, n, message):
    with pytest.raises(InputError, match=message):
        tiny.analogs("CCO", n, n_diverse=3)


def test_pandas_index_is_kept(tiny):
    column = pd.Series([*SMALL[:3], "C1CC", None], index=["a", "c", "b", "b", 7])
    for method in (tiny.encode, tiny.reconstruct, tiny.likelihood):
        frame = method(column)
        assert frame.index.equals(column.index)
        pd.testing.assert_frame_equal(frame.reset_index(drop=True), method(list(column)))
    latents = tiny.encode(column)
    decoded = tiny.decode(latents)
    assert decoded.index.equals(column.index)
    pd.testing.assert_frame_equal(
        decoded.reset_index(drop=True), tiny.decode(latents.filter(regex=r"^z\d+$").to_numpy())
    )
    assert tiny.decode(latents.filter(regex=r"^z\d+$").iloc[0]).index.tolist() == [0], (
        "the index of a single latent names its dimensions"
    )
    decoded.index.name = "mine"
    assert column.index.name is None
