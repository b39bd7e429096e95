"""Model directories: saving and loading a model with everything that belongs to it.

==========================  ==============================================================================
weights.safetensors         weights of the autoencoder in half precision
config.json                 format, network settings, sampling defaults, sha256 of the other files
vocabulary.json             tokens, in the order of their ids
bloom_filter.npz            optional: the training molecules (`data.bloom_filter.BloomFilter`)
prior.safetensors           optional: a learned prior (`nn.priors`); its settings are in config.json
likelihood_reference.json   optional: likelihoods of training molecules (`nn.likelihood_reference`)
card.json, card.md          model card: intended use, training data, training, evaluation
==========================  ==============================================================================

Loading executes no code from the directory. Directories of format 1 are read, see `molvae.checkpoint_format_1`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from molvae.checkpoint_format_1 import FORMAT_1, translate_config, translate_tensor_name
from molvae.chem.tokenizer import Vocabulary
from molvae.data.bloom_filter import BloomFilter
from molvae.data.files import atomic_write_folder, checksum
from molvae.errors import CheckpointError, InputError
from molvae.model_folders import CONFIG_FILE as CONFIG_FILE
from molvae.model_folders import SHIPPED_MODELS as SHIPPED_MODELS
from molvae.model_folders import find_model as find_model
from molvae.model_folders import shipped_models as shipped_models
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import JsonConfig, ModelConfig
from molvae.nn.likelihood_reference import LikelihoodReference
from molvae.nn.loading import build_from_state, half_precision_state
from molvae.nn.priors import Prior, PriorConfig, prior_from_config

FORMAT = "molvae-model-2"
WEIGHTS_FILE = "weights.safetensors"
VOCABULARY_FILE = "vocabulary.json"
BLOOM_FILTER_FILE = "bloom_filter.npz"
PRIOR_FILE = "prior.safetensors"
LIKELIHOOD_REFERENCE_FILE = "likelihood_reference.json"
CARD_FILE, CARD_MARKDOWN_FILE = "card.json", "card.md"
_HASHED_FILES = (WEIGHTS_FILE, VOCABULARY_FILE, BLOOM_FILTER_FILE, PRIOR_FILE, LIKELIHOOD_REFERENCE_FILE)


@dataclass(frozen=True)
class SamplingDefaults(JsonConfig):
    """Default sampling options of a model, chosen by its evaluation.

    Parameters
    ----------
    temperature : float
        Sampling temperature of analogs and prior samples.
    noise_conditioned : bool
        Whether the decoder was trained on perturbed latents, conditioned on their noise level.
    """

    temperature: float = 1.0
    noise_conditioned: bool = True


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model.

    Parameters
    ----------
    name : str
        Name of the model.
    model : Autoencoder
        The network, in evaluation mode.
    config : ModelConfig
        Settings of the network.
    vocabulary : Vocabulary
        Tokens of the decoder.
    defaults : SamplingDefaults
        Default sampling options.
    training_filter : BloomFilter, optional
        Membership test for training molecules.
    card : dict
        Model card.
    prior : Prior, optional
        Learned prior.
    likelihood_reference : LikelihoodReference, optional
        Distribution of log-likelihoods over training molecules.
    """

    name: str
    model: Autoencoder
    config: ModelConfig
    vocabulary: Vocabulary
    defaults: SamplingDefaults = field(default_factory=SamplingDefaults)
    training_filter: BloomFilter | None = None
    card: dict[str, Any] = field(default_factory=dict)
    prior: Prior | None = None
    likelihood_reference: LikelihoodReference | None = None


def save(checkpoint: Checkpoint, folder: Path | str) -> Path:
    """Write a model directory atomically.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    folder : Path or str
        Model directory. An existing model directory is replaced.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    InputError
        If the folder exists and is not a model directory.
    """
    folder = Path(folder)
    with atomic_write_folder(folder, marker=CONFIG_FILE) as draft:
        _write_files(checkpoint, draft)
    return folder


def load(name_or_path: str | Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a model directory.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped model, or path of a model directory.
    device : torch.device or str
        Device for the network and the learned prior.

    Returns
    -------
    Checkpoint

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or the format is unknown; the message names the file.
    """
    folder = find_model(name_or_path)
    config = _read_config(folder)
    paths = _checked_paths(folder, config)
    try:
        model_config = ModelConfig.from_dict(config["model"])
        defaults = SamplingDefaults.from_dict(config["defaults"])
        vocabulary = Vocabulary.from_json(_existing(folder, VOCABULARY_FILE).read_text(encoding="utf-8"))
        if len(vocabulary) != model_config.vocab_size:
            raise InputError(f"{VOCABULARY_FILE} has {len(vocabulary)} tokens, the network {model_config.vocab_size}")
        model = build_from_state(
            partial(Autoencoder.from_config, model_config), _read_tensors(folder, WEIGHTS_FILE, config)
        )
        prior = _read_prior(folder, config, model_config) if "prior" in config else None
        reference_path = paths.get(LIKELIHOOD_REFERENCE_FILE)
        likelihood_reference = LikelihoodReference.load(reference_path) if reference_path else None
    except (InputError, TypeError, KeyError, RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: cannot load the model: {error}") from None
    return Checkpoint(
        name=config["name"],
        model=model.to(device).eval(),
        config=model_config,
        vocabulary=vocabulary,
        defaults=defaults,
        training_filter=BloomFilter.load(paths[BLOOM_FILTER_FILE]) if BLOOM_FILTER_FILE in paths else None,
        card=read_card(folder),
        prior=prior.to(device) if prior else None,
        likelihood_reference=likelihood_reference,
    )


def has_weights(folder: Path, model: Autoencoder) -> bool:
    """Whether a model directory contains exactly these weights; False if it is missing or damaged."""
    try:
        stored = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError):
        return False
    state = half_precision_state(model)
    return state.keys() == stored.keys() and all(torch.equal(tensor, stored[name]) for name, tensor in state.items())


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Summary of a model that can be stored as JSON: parameter counts, settings, vocabulary size, model card."""
    reference, training_filter = checkpoint.likelihood_reference, checkpoint.training_filter
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in checkpoint.model.named_children()}
    return {
        "name": checkpoint.name,
        "parameters": {**counts, "total": sum(counts.values())},
        "vocabulary": len(checkpoint.vocabulary),
        "training_molecules": 0 if training_filter is None else len(training_filter),
        "likelihood_reference_molecules": reference.n_molecules if reference else 0,
        "config": dataclasses.asdict(checkpoint.config),
        "defaults": dataclasses.asdict(checkpoint.defaults),
        "prior": dataclasses.asdict(checkpoint.prior.config) if checkpoint.prior else "unit",
        "card": checkpoint.card,
    }


def read_card(folder: Path) -> dict[str, Any]:
    """Read the model card of a directory; empty if there is none. Raises `CheckpointError` if it is damaged."""
    path = folder / CARD_FILE
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}): the file is damaged") from None
    return card


def write_card(folder: Path, name: str, card: dict[str, Any]) -> None:
    """Write the model card of a directory as JSON and as Markdown."""
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    (folder / CARD_MARKDOWN_FILE).write_text(card_text(name, card), encoding="utf-8")


def card_text(name: str, card: dict[str, Any]) -> str:
    """Format a model card as Markdown.

    Parameters
    ----------
    name : str
        Name of the model, the title of the card.
    card : dict
        Section title to content: a dictionary becomes a table, a list becomes a list, anything else a paragraph.

    Returns
    -------
    str
        Markdown.
    """
    lines = [f"# {name}", ""]
    for title, content in card.items():
        lines += [f"## {title}", ""]
        if isinstance(content, dict):
            lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in content.items()), ""]
        elif isinstance(content, list):
            lines += [*(f"- {item}" for item in content), ""]
        else:
            lines += [str(content), ""]
    return "\n".join(lines)


def _write_files(checkpoint: Checkpoint, folder: Path) -> None:
    save_file(half_precision_state(checkpoint.model), folder / WEIGHTS_FILE)
    (folder / VOCABULARY_FILE).write_text(checkpoint.vocabulary.to_json(), encoding="utf-8")
    if checkpoint.training_filter is not None:
        checkpoint.training_filter.save(folder / BLOOM_FILTER_FILE)
    if checkpoint.prior is not None:
        save_file(half_precision_state(checkpoint.prior), folder / PRIOR_FILE)
    if checkpoint.likelihood_reference is not None:
        checkpoint.likelihood_reference.save(folder / LIKELIHOOD_REFERENCE_FILE)
    write_card(folder, checkpoint.name, checkpoint.card)
    config = {
        "format": FORMAT,
        "name": checkpoint.name,
        "model": dataclasses.asdict(checkpoint.config),
        "defaults": dataclasses.asdict(checkpoint.defaults),
        "sha256": {name: checksum(folder / name) for name in _HASHED_FILES if (folder / name).exists()},
    }
    if checkpoint.prior is not None:
        config["prior"] = dataclasses.asdict(checkpoint.prior.config)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _read_config(folder: Path) -> dict[str, Any]:
    """The contents of config.json under the names of format 2."""
    path = _existing(folder, CONFIG_FILE)
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}): the file is damaged") from None
    found = config.get("format") if isinstance(config, dict) else None
    if found not in (FORMAT, FORMAT_1):
        raise CheckpointError(
            f"{folder} has the format {found!r}, but this version of molvae reads {FORMAT!r}: "
            "load it with the version that wrote it, or train the model again"
        )
    missing = [key for key in ("name", "model", "defaults", "sha256") if key not in config]
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}: the file is damaged")
    for key in ("model", "defaults", "sha256"):
        if not isinstance(config[key], dict):
            raise CheckpointError(f"{path}: {key} is not an object: the file is damaged")
    return translate_config(config) if found == FORMAT_1 else config


def _checked_paths(folder: Path, config: dict[str, Any]) -> dict[str, Path]:
    """Path of each file that config.json lists, after comparison of its checksum."""
    paths = {}
    for name, expected in config["sha256"].items():
        if name not in _HASHED_FILES:
            raise CheckpointError(
                f"{folder / CONFIG_FILE} lists {name!r}, which is not a file of a model: do not use this directory"
            )
        paths[name] = _existing(folder, config.get("files", {}).get(name, name))
        if checksum(paths[name]) != expected:
            raise CheckpointError(f"{paths[name]} is damaged (its sha256 differs from {CONFIG_FILE}): copy it again")
    return paths


def _existing(folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        raise CheckpointError(f"{folder} lacks {name}: the model directory is incomplete")
    return folder / name


def _read_tensors(folder: Path, name: str, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Tensors of a file in single precision, under the names of format 2."""
    state = load_file(_existing(folder, name))
    if config["format"] == FORMAT_1:
        state = {translate_tensor_name(key): tensor for key, tensor in state.items()}
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}


def _read_prior(folder: Path, config: dict[str, Any], model_config: ModelConfig) -> Prior:
    prior_config = PriorConfig.from_dict(config["prior"])
    if prior_config.latent_dim != model_config.latent_dim:
        raise InputError(f"the prior has {prior_config.latent_dim} dimensions, the latent {model_config.latent_dim}")
    prior = build_from_state(partial(prior_from_config, prior_config), _read_tensors(folder, PRIOR_FILE, config))
    return prior.eval().requires_grad_(False)
