"""Model directories: what goes in comes out, and every kind of damage is named."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from molvae import checkpoint as checkpoints
from molvae.checkpoint import describe, holds, load, locate, save, shipped_models
from molvae.errors import CheckpointError, InputError
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import ModelConfig
from molvae.nn.priors import PriorConfig, prior_from_config


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy to damage."""
    return shutil.copytree(tiny_model, tmp_path / "model")


def _edit(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **changes}))


def _resign(folder, name):
    """As one who damages a file on purpose would."""
    sums = json.loads((folder / "config.json").read_text())["sha256"]
    _edit(folder, sha256={**sums, name: hashlib.sha256((folder / name).read_bytes()).hexdigest()})


def test_round_trip(tiny_checkpoint, tiny_model):
    loaded = load(tiny_model)
    assert (loaded.name, loaded.config, loaded.defaults, loaded.card) == (
        "tiny", tiny_checkpoint.config, tiny_checkpoint.defaults, tiny_checkpoint.card,
    )  # fmt: skip
    assert loaded.vocabulary.tokens == tiny_checkpoint.vocabulary.tokens
    assert loaded.seen is not None
    assert "CCO" in loaded.seen
    assert not loaded.model.training
    for name, value in tiny_checkpoint.model.state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], value, rtol=2e-3, atol=1e-4, msg=name)  # half


@pytest.mark.parametrize("prior", ["mixture", "flow"])
@pytest.mark.parametrize("shape", [
    {"encoder": "gine", "latent": "gaussian"}, {"encoder": "gatv2", "latent": "hypersphere"},
    {"encoder": "gps", "decoder": "transformer"}, {"encoder": "dmpnn", "bilinear_dim": 8},
])  # fmt: skip
def test_loading_leaves_random_numbers_alone_and_every_weight_is_the_saved_one(tiny_checkpoint, tmp_path, shape, prior):
    """Networks are made without drawing first weights; nothing must be left that nobody wrote."""
    sizes = {"encoder_dim": 16, "encoder_layers": 2, "decoder_dim": 32, "latent_dim": 8}
    config = ModelConfig.from_dict({"vocab_size": len(tiny_checkpoint.vocabulary), **sizes, **shape})
    torch.manual_seed(5)
    model = Autoencoder.from_config(config).eval()
    learned = prior_from_config(PriorConfig(8, kind=prior))
    made = replace(tiny_checkpoint, model=model, config=config, prior=learned)
    folder, before = save(made, tmp_path / "model"), torch.get_rng_state()
    loaded = load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    for mine, theirs in ((model, loaded.model), (learned, loaded.prior)):
        found = {**dict(theirs.named_parameters()), **dict(theirs.named_buffers())}
        expected = {**dict(mine.named_parameters()), **dict(mine.named_buffers())}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=2e-3, atol=1e-4, msg=name)  # half


def test_saved_again_it_is_the_same(tiny_model, tmp_path):
    again = save(load(tiny_model), tmp_path / "again")
    for file in tiny_model.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name


def test_others_may_read_it(tiny_model):
    """A temporary folder, in which it is written, is its owner's alone."""
    assert tiny_model.stat().st_mode & 0o055 == 0o055
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in tiny_model.iterdir())


def test_what_is_optional_may_be_missing(tiny_checkpoint, tmp_path):
    from dataclasses import replace

    loaded = load(save(replace(tiny_checkpoint, seen=None, card={}), tmp_path / "bare"))
    assert loaded.seen is None
    assert loaded.card == {}


def test_it_takes_the_place_of_an_older_one(tiny_checkpoint, tmp_path):
    from dataclasses import replace

    folder = save(tiny_checkpoint, tmp_path / "model")
    save(replace(tiny_checkpoint, name="newer"), folder)
    assert load(folder).name == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_of_something_else_is_left_alone(tiny_checkpoint, tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(InputError, match=r"has no config\.json in it"):
        save(tiny_checkpoint, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "ten years"


def test_names_and_the_nearest_one(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    with pytest.raises(CheckpointError, match="no models are shipped"):
        locate("druglike")
    for name in ("druglike", "moses"):
        shutil.copytree(tiny_model, tmp_path / name)
    assert shipped_models() == ["druglike", "moses"]
    assert locate("moses") == tmp_path / "moses"
    with pytest.raises(CheckpointError, match=r"no model 'druglik' \(did you mean 'druglike'"):
        load("druglik")
    with pytest.raises(CheckpointError, match="druglike, moses"):
        load("somewhere/else")


def test_a_folder_that_is_called_as_a_shipped_model_is(tiny_model, tmp_path, monkeypatch):
    """With its data, for one: it is taken for the model only if it is one."""
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, tmp_path / "weights" / "moses")
    (tmp_path / "moses").mkdir()
    assert locate("moses") == tmp_path / "weights" / "moses"
    shutil.copytree(tiny_model, tmp_path / "moses", dirs_exist_ok=True)
    assert locate("moses") == Path("moses")


def test_a_file_is_no_model(tiny_model):
    with pytest.raises(CheckpointError, match="it is not a directory"):
        load(tiny_model / "config.json")


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "vocabulary.json", "bloom_filter.npz"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}: it is not a whole model directory"):
        load(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.json", "bloom_filter.npz"])
def test_a_changed_file_is_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is damaged"):
        load(folder)


@pytest.mark.parametrize("name", ["/dev/zero", "../other.txt"])
def test_a_file_that_is_no_part_of_a_model_is_not_read(folder, name):
    _edit(folder, sha256={**json.loads((folder / "config.json").read_text())["sha256"], name: "0"})
    with pytest.raises(CheckpointError, match=f"names '{name}', which is no file of a model"):
        load(folder)


def test_no_memory_is_taken_for_a_network_that_the_weights_do_not_fit(folder):
    """A width of 100,000 would take a hundred gigabytes."""
    config = json.loads((folder / "config.json").read_text())
    _edit(folder, model={**config["model"], "decoder_dim": 100_000})
    with pytest.raises(CheckpointError, match=r"decoder\..* is \(.*\), and should be \(.*1000[01].*\)"):
        load(folder)


def test_nor_is_it_for_such_a_prior(tiny_checkpoint, tmp_path):
    size = tiny_checkpoint.config.latent_dim
    folder = save(replace(tiny_checkpoint, prior=prior_from_config(PriorConfig(size))), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    _edit(folder, prior={**config["prior"], "components": 1_000_000_000})
    with pytest.raises(CheckpointError, match=r"weights is \(4,\), and should be \(1000000000,\)"):
        load(folder)


def test_it_is_known_whose_weights_a_directory_holds(tiny_checkpoint, tiny_model, tmp_path):
    assert holds(tiny_model, tiny_checkpoint.model)
    other = Autoencoder.from_config(tiny_checkpoint.config)
    assert not holds(tiny_model, other)
    assert not holds(tmp_path, tiny_checkpoint.model)


@pytest.mark.parametrize("size", [0, 5, 1000])
@pytest.mark.parametrize("signed", [False, True])
def test_truncated_weights(folder, size, signed):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    if signed:
        _resign(folder, path.name)
    with pytest.raises(CheckpointError, match=r"damaged|cannot load the model"):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "not json", "[1, 2]", "null", '"molvae-model-1"'])
def test_a_config_that_is_not_one(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"not JSON|format None"):
        load(folder)


def test_another_version_is_named(folder):
    _edit(folder, format="molvae-model-9")
    with pytest.raises(CheckpointError, match="format 'molvae-model-9', but this version of molvae reads"):
        load(folder)


@pytest.mark.parametrize("key", ["name", "model", "defaults", "sha256"])
def test_a_config_without_a_part(folder, key):
    config = json.loads((folder / "config.json").read_text())
    del config[key]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"lacks {key}"):
        load(folder)


@pytest.mark.parametrize("key", ["model", "defaults", "sha256"])
@pytest.mark.parametrize("value", [None, [], "x", {"unknown": 1}])
def test_a_config_with_a_part_that_is_something_else(folder, key, value):
    _edit(folder, **{key: value})
    with pytest.raises(CheckpointError):
        load(folder)


@pytest.mark.parametrize("tokens", ["[]", "{}", '["<pad>", "<start>", "<end>", "C"]', "no", "[1, 2, 3, 4]"])
def test_another_vocabulary_even_if_signed(folder, tokens):
    (folder / "vocabulary.json").write_text(tokens)
    _resign(folder, "vocabulary.json")
    with pytest.raises(CheckpointError, match="cannot load the model"):
        load(folder)


def test_a_card_that_is_not_json(folder):
    (folder / "card.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"card\.json"):
        load(folder)


class _Trap:
    def __reduce__(self):
        return (open, ("trapped", "w"))


def test_loading_runs_no_code(folder, tmp_path, monkeypatch):
    """A pickle in the place of the weights is rejected, not run."""
    monkeypatch.chdir(tmp_path)
    torch.save({"a": _Trap()}, folder / "weights.safetensors")
    _resign(folder, "weights.safetensors")
    with pytest.raises(CheckpointError, match="cannot load the model"):
        load(folder)
    (folder / "weights.safetensors").write_bytes(pickle.dumps(_Trap()))
    _resign(folder, "weights.safetensors")
    with pytest.raises(CheckpointError, match="cannot load the model"):
        load(folder)
    assert not (tmp_path / "trapped").exists()


def test_the_description_adds_up(tiny_checkpoint):
    content = describe(tiny_checkpoint)
    assert content["parameters"]["total"] == sum(p.numel() for p in tiny_checkpoint.model.parameters())
    assert content["vocabulary"] == len(tiny_checkpoint.vocabulary)
    assert json.loads(json.dumps(content)) == content
