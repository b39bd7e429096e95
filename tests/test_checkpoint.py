"""Model directories: round trip, format 1, shipped models, and errors for every kind of damage."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from molvae import checkpoint as checkpoints
from molvae import checkpoint_format_1 as format_1
from molvae import model_folders
from molvae.checkpoint import describe, find_model, has_weights, load, save, shipped_models, sign
from molvae.data.json_files import SIGNATURE, signed
from molvae.errors import CheckpointError, InputError
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import ModelConfig
from molvae.nn.likelihood_reference import PERCENTILES, LikelihoodReference
from molvae.nn.priors import PriorConfig, prior_from_config


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy of the tiny model's directory that a test can damage."""
    return shutil.copytree(tiny_model, tmp_path / "model")


def read_config(folder):
    return json.loads((folder / "config.json").read_text())


def edit_config(folder, **changes):
    """Change settings and write their digest, so that the test reaches the checks of the settings themselves."""
    (folder / "config.json").write_text(json.dumps(signed({**read_config(folder), **changes})))


def update_checksum(folder, name):
    checksum = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    edit_config(folder, sha256={**read_config(folder)["sha256"], name: checksum})


def assert_state_close(found, expected):
    """Equal parameters and buffers, up to the rounding of half precision."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=2e-3, atol=1e-4, msg=name)


def all_tensors(module):
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


# --- saving and loading ---


def test_round_trip(tiny_checkpoint, tiny_model):
    loaded = load(tiny_model)
    assert (loaded.name, loaded.config, loaded.defaults, loaded.card) == (
        "tiny", tiny_checkpoint.config, tiny_checkpoint.defaults, tiny_checkpoint.card,
    )  # fmt: skip
    assert loaded.vocabulary.tokens == tiny_checkpoint.vocabulary.tokens
    assert loaded.training_filter is not None
    assert "CCO" in loaded.training_filter
    assert not loaded.model.training
    assert_state_close(loaded.model.state_dict(), tiny_checkpoint.model.state_dict())


@pytest.mark.parametrize("prior", ["mixture", "flow"])
@pytest.mark.parametrize("settings", [
    {"encoder": "gine", "latent": "gaussian"}, {"encoder": "gatv2", "latent": "hypersphere"},
    {"encoder": "gps", "decoder": "transformer"}, {"encoder": "dmpnn", "bilinear_dim": 8},
])  # fmt: skip
def test_loading_restores_every_tensor(tiny_checkpoint, tmp_path, settings, prior):
    """Random initialization is skipped, so a tensor that is not loaded would contain uninitialized memory."""
    sizes = {"encoder_dim": 16, "encoder_layers": 2, "decoder_dim": 32, "latent_dim": 8}
    config = ModelConfig.from_dict({"vocab_size": len(tiny_checkpoint.vocabulary), **sizes, **settings})
    torch.manual_seed(5)
    model = Autoencoder.from_config(config).eval()
    learned_prior = prior_from_config(PriorConfig(8, kind=prior))
    checkpoint = replace(tiny_checkpoint, model=model, config=config, prior=learned_prior)
    folder, random_state = save(checkpoint, tmp_path / "model"), torch.get_rng_state()
    loaded = load(folder)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert_state_close(all_tensors(loaded.model), all_tensors(model))
    assert_state_close(all_tensors(loaded.prior), all_tensors(learned_prior))


def test_saving_a_loaded_model_gives_identical_files(tiny_model, tmp_path):
    copy = save(load(tiny_model), tmp_path / "copy")
    for file in tiny_model.iterdir():
        assert (copy / file.name).read_bytes() == file.read_bytes(), file.name


def test_files_are_readable_by_other_users(tiny_model):
    """They are first written to a temporary folder, which is private."""
    assert tiny_model.stat().st_mode & 0o055 == 0o055
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in tiny_model.iterdir())


def test_bloom_filter_and_card_are_optional(tiny_checkpoint, tmp_path):
    loaded = load(save(replace(tiny_checkpoint, training_filter=None, card={}), tmp_path / "model"))
    assert loaded.training_filter is None
    assert loaded.card == {}


def test_saving_replaces_an_older_model(tiny_checkpoint, tmp_path):
    folder = save(tiny_checkpoint, tmp_path / "model")
    save(replace(tiny_checkpoint, name="newer"), folder)
    assert load(folder).name == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_saving_does_not_replace_other_folders(tiny_checkpoint, tmp_path):
    (tmp_path / "thesis.tex").write_text("text")
    with pytest.raises(InputError, match=r"config\.json"):
        save(tiny_checkpoint, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "text"


def test_has_weights(tiny_checkpoint, tiny_model, tmp_path):
    assert has_weights(tiny_model, tiny_checkpoint.model)
    assert not has_weights(tiny_model, Autoencoder.from_config(tiny_checkpoint.config))
    assert not has_weights(tmp_path, tiny_checkpoint.model)


def test_describe(tiny_checkpoint):
    summary = describe(tiny_checkpoint)
    assert summary["parameters"]["total"] == sum(p.numel() for p in tiny_checkpoint.model.parameters())
    assert summary["vocabulary"] == len(tiny_checkpoint.vocabulary)
    assert json.loads(json.dumps(summary)) == summary


# --- names ---


def test_find_model_by_name(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(model_folders, "SHIPPED_MODELS", tmp_path)
    with pytest.raises(CheckpointError, match="no models are shipped"):
        find_model("druglike")
    for name in ("druglike", "moses"):
        shutil.copytree(tiny_model, tmp_path / name)
    assert shipped_models() == ["druglike", "moses"]
    assert find_model("moses") == tmp_path / "moses"
    with pytest.raises(CheckpointError, match=r"no model 'druglik'.*did you mean 'druglike'"):
        load("druglik")
    with pytest.raises(CheckpointError, match="druglike, moses"):
        load("somewhere/else")


def test_folder_named_like_a_shipped_model(tiny_model, tmp_path, monkeypatch):
    """It takes precedence only if it contains a model."""
    monkeypatch.setattr(model_folders, "SHIPPED_MODELS", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, tmp_path / "weights" / "moses")
    (tmp_path / "moses").mkdir()
    assert find_model("moses") == tmp_path / "weights" / "moses"
    shutil.copytree(tiny_model, tmp_path / "moses", dirs_exist_ok=True)
    assert find_model("moses") == Path("moses")


def test_file_is_not_a_model(tiny_model):
    with pytest.raises(CheckpointError, match="not a directory"):
        load(tiny_model / "config.json")


# --- formats ---


def rename_keys(values, names):
    return {names.get(key, key): value for key, value in values.items()}


def write_format_1(source, target):
    """Convert a directory of format 2 to the names of format 1."""
    shutil.copytree(source, target)
    old_names = {new: old for old, new in format_1.SETTINGS.items()}
    for old, new in format_1.FILES.items():
        (target / new).rename(target / old)
    tensors = {}
    for name, tensor in load_file(target / "weights.safetensors").items():
        part = next(((old, new) for old, new in format_1.TENSORS.items() if new in name), None)
        tensors[name.replace(part[1], part[0]) if part else name] = tensor
    save_file(tensors, target / "weights.safetensors")
    config = read_config(target)
    del config[SIGNATURE]  # format 1 has none
    for section in ("model", "defaults", "prior"):
        config[section] = rename_keys(config[section], old_names)
    config["sha256"] = {
        name: hashlib.sha256((target / name).read_bytes()).hexdigest()
        for name in rename_keys(config["sha256"], {new: old for old, new in format_1.FILES.items()})
    }
    (target / "config.json").write_text(json.dumps({**config, "format": format_1.FORMAT_1}))
    return target


@pytest.mark.parametrize("settings", [
    {"encoder": "dmpnn", "decoder": "gru"}, {"encoder": "gps", "decoder": "transformer"},
])  # fmt: skip
def test_format_1_is_read(tiny_checkpoint, tmp_path, settings):
    sizes = {"encoder_dim": 16, "encoder_layers": 2, "decoder_dim": 32, "latent_dim": 8, "bilinear_dim": 4}
    config = ModelConfig.from_dict({"vocab_size": len(tiny_checkpoint.vocabulary), **sizes, **settings})
    model = Autoencoder.from_config(config).eval()
    checkpoint = replace(
        tiny_checkpoint,
        model=model,
        config=config,
        prior=prior_from_config(PriorConfig(8, noise_level=0.7)),
        likelihood_reference=LikelihoodReference("tiny", "0" * 32, 30, tuple(map(float, PERCENTILES))),
    )
    current = save(checkpoint, tmp_path / "format_2")
    old = write_format_1(current, tmp_path / "format_1")
    names = set(load_file(old / "weights.safetensors"))
    assert "encoder.pooling.score.weight" in names
    assert "decoder.reading.offer.radius.0.weight" in names
    assert not any("film" in name or "message_passing" in name or "attention_norm" in name for name in names)
    assert read_config(old)["model"]["latent_size"] == 8
    expected, found = load(current), load(old)
    assert (found.config, found.defaults, found.card) == (expected.config, expected.defaults, expected.card)
    assert found.likelihood_reference == expected.likelihood_reference
    assert found.prior.config == expected.prior.config
    assert "CCO" in found.training_filter
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], tensor), name
    converted = save(found, tmp_path / "converted")
    for file in current.iterdir():
        assert (converted / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_have_format_2(name):
    folder = find_model(name)
    config = read_config(folder)
    assert config["format"] == checkpoints.FORMAT
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*config["sha256"], "config.json", "card.json", "card.md"]
    )
    assert (folder / "card.md").read_text() == checkpoints.card_text(name, checkpoints.read_card(folder))


def test_unknown_format_is_an_error(folder):
    edit_config(folder, format="molvae-model-9")
    with pytest.raises(CheckpointError, match="format 'molvae-model-9', but this version of molvae reads"):
        load(folder)


# --- damaged directories ---


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "vocabulary.json", "bloom_filter.npz"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        load(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.json", "bloom_filter.npz"])
def test_changed_file_is_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is damaged"):
        load(folder)


@pytest.mark.parametrize("name", ["/dev/zero", "../other.txt"])
def test_files_outside_the_directory_are_not_read(folder, name):
    edit_config(folder, sha256={**read_config(folder)["sha256"], name: "0"})
    with pytest.raises(CheckpointError, match=f"lists '{name}', which is not a file of a model"):
        load(folder)


def test_sizes_that_do_not_fit_the_weights_allocate_no_memory(folder):
    """A dimension of 100,000 would take a hundred gigabytes."""
    edit_config(folder, model={**read_config(folder)["model"], "decoder_dim": 100_000})
    with pytest.raises(CheckpointError, match=r"decoder\..* has the shape \(.*\), expected \(.*1000[01].*\)"):
        load(folder)


def test_sizes_that_do_not_fit_the_prior_allocate_no_memory(tiny_checkpoint, tmp_path):
    prior = prior_from_config(PriorConfig(tiny_checkpoint.config.latent_dim))
    folder = save(replace(tiny_checkpoint, prior=prior), tmp_path / "model")
    edit_config(folder, prior={**read_config(folder)["prior"], "components": 100_000})
    with pytest.raises(CheckpointError, match=r"weights has the shape \(4,\), expected \(100000,\)"):
        load(folder)


@pytest.mark.parametrize("size", [0, 5, 1000])
@pytest.mark.parametrize("valid_checksum", [False, True])
def test_truncated_weights_are_an_error(folder, size, valid_checksum):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    if valid_checksum:
        update_checksum(folder, path.name)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is damaged"):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "not json", "[1, 2]", "null", '"molvae-model-1"'])
def test_invalid_config_is_an_error(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json.* (not JSON|has to be a JSON object|is damaged)"):
        load(folder)


@pytest.mark.parametrize("key", ["name", "model", "defaults", "sha256"])
def test_config_without_a_section_is_an_error(folder, key):
    config = read_config(folder)
    del config[key]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=rf"config\.json is damaged: .* lacks the setting '{key}'"):
        load(folder)


@pytest.mark.parametrize("key", ["model", "defaults", "sha256"])
@pytest.mark.parametrize("value", [None, [], "x", {"unknown": 1}])
def test_config_with_an_invalid_section_is_an_error(folder, key, value):
    edit_config(folder, **{key: value})
    with pytest.raises(CheckpointError):
        load(folder)


@pytest.mark.parametrize("tokens", ["[]", "{}", '["<pad>", "<start>", "<end>", "C"]', "no", "[1, 2, 3, 4]"])
def test_other_vocabulary_is_an_error_despite_a_valid_checksum(folder, tokens):
    (folder / "vocabulary.json").write_text(tokens)
    update_checksum(folder, "vocabulary.json")
    with pytest.raises(CheckpointError, match=r"vocabulary\.json (is damaged|has 4 tokens)"):
        load(folder)


def test_invalid_card_is_an_error(folder):
    (folder / "card.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"card\.json"):
        load(folder)


class Malicious:
    def __reduce__(self):
        return (open, ("executed", "w"))


def test_loading_executes_no_code(folder, tmp_path, monkeypatch):
    """Pickles in place of the weights are rejected without being unpickled."""
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Malicious()}, folder / "weights.safetensors")
    update_checksum(folder, "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is damaged: it is not a safetensors file"):
        load(folder)
    (folder / "weights.safetensors").write_bytes(pickle.dumps(Malicious()))
    update_checksum(folder, "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is damaged: it is not a safetensors file"):
        load(folder)
    assert not (tmp_path / "executed").exists()


# --- what is loaded is valid ---


def edit_tensors(folder, file, **changes):
    """Replace tensors of a file and write its digest."""
    save_file({**load_file(folder / file), **changes}, folder / file)
    update_checksum(folder, file)


def test_weights_that_are_not_finite(folder):
    weights = load_file(folder / "weights.safetensors")["encoder.pooling.attention.weight"]
    weights[0, 0] = torch.nan
    edit_tensors(folder, "weights.safetensors", **{"encoder.pooling.attention.weight": weights})
    message = r"weights\.safetensors is damaged: the array 'encoder\.pooling\.attention\.weight' .* not finite"
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent.standardize.running_var": -torch.ones(12)}, "running_var has negative variances"),
        ({"latent.standardize.running_var": torch.ones(12, dtype=torch.int64)}, "has the type torch.int64"),
        ({"extra": torch.ones(1)}, "'extra' is not part of the network"),
    ],
)
def test_invalid_tensor(folder, changes, message):
    edit_tensors(folder, "weights.safetensors", **changes)
    with pytest.raises(CheckpointError, match=rf"weights\.safetensors is damaged: .*{message}"):
        load(folder)


def test_weights_that_overflow_are_reported_when_they_are_used(folder):
    """All weights are finite, but the latents are not."""
    from molvae.generator import Generator

    edit_tensors(
        folder, "weights.safetensors", **{"latent.log_variance.bias": torch.full((12,), 60_000, dtype=torch.float16)}
    )
    generator = Generator.load(folder, "cpu")
    with pytest.raises(CheckpointError, match=r"not finite .* for 1 of 1 molecules: its weights\.safetensors"):
        generator.encode("CCO")


def test_weights_of_a_mixture_that_are_not_probabilities(tiny_checkpoint, tmp_path):
    prior = prior_from_config(PriorConfig(tiny_checkpoint.config.latent_dim))
    folder = save(replace(tiny_checkpoint, prior=prior), tmp_path / "model")
    edit_tensors(folder, "prior.safetensors", weights=-load_file(folder / "prior.safetensors")["weights"])
    with pytest.raises(CheckpointError, match=r"prior\.safetensors is damaged: tensor weights: .* must be 0 or more"):
        load(folder)


@pytest.mark.parametrize("token", [3, "", "C1", "<b>", "C\n"])
def test_token_that_is_not_one_of_smiles(folder, token):
    tokens = json.loads((folder / "vocabulary.json").read_text())
    (folder / "vocabulary.json").write_text(json.dumps([*tokens[:-1], token]))
    update_checksum(folder, "vocabulary.json")
    with pytest.raises(CheckpointError, match=r"vocabulary\.json is damaged"):
        load(folder)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("model", {"latent_dim": 10**12}, r"latent_dim must be 100,000 or less"),
        ("model", {"max_length": 10**9}, r"max_length must be 5,000 or less"),
        ("model", {"dropout": "0"}, r"model\.dropout must be of type float, got '0'"),
        ("defaults", {"temperature": -1.0}, "temperature must be 0 or more"),
        ("defaults", {"temperatur": 1.0}, "defaults has no setting 'temperatur' .did you mean 'temperature'"),
    ],
)
def test_setting_outside_its_limits(folder, section, changes, message):
    edit_config(folder, **{section: {**read_config(folder)[section], **changes}})
    with pytest.raises(CheckpointError, match=rf"config\.json is damaged: {message}"):
        load(folder)


@pytest.mark.parametrize("card", ["[1]", "3", "[" * 5000, '{"a": NaN}'])
def test_card_that_is_not_an_object(folder, card):
    (folder / "card.json").write_text(card)
    with pytest.raises(CheckpointError, match=r"card\.json is damaged.*or delete the file"):
        load(folder)


def test_name_that_is_too_long():
    with pytest.raises(CheckpointError, match="no model 'xxx") as error:
        load("x" * 100_000)
    assert len(str(error.value)) < 400


# --- signing ---


def test_edited_settings_are_refused_until_signed(folder):
    config = read_config(folder)
    config["defaults"]["temperature"] = 0.6
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=rf"config\.json is damaged or was edited .*`molvae sign {folder}`"):
        load(folder)
    sign(folder)
    assert load(folder).defaults.temperature == 0.6


def test_edited_file_is_refused_until_signed(folder):
    tokens = json.loads((folder / "vocabulary.json").read_text())
    (folder / "vocabulary.json").write_text(json.dumps(tokens, indent=1))
    with pytest.raises(CheckpointError, match=r"vocabulary\.json is damaged or was edited .*molvae sign"):
        load(folder)
    sign(folder)
    assert list(load(folder).vocabulary.tokens) == tokens


def test_signing_checks_everything_else(folder):
    before = (folder / "config.json").read_bytes()
    (folder / "vocabulary.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"vocabulary\.json is damaged"):
        sign(folder)
    assert (folder / "config.json").read_bytes() == before


def test_settings_without_a_digest_are_read(folder):
    """Model directories of molvae 0.2 have none."""
    config = read_config(folder)
    del config[SIGNATURE]
    (folder / "config.json").write_text(json.dumps(config))
    assert load(folder).name == "tiny"
