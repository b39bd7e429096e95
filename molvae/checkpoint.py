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

Loading executes no code from the directory. It compares the SHA-256 of every file with config.json, and checks names,
types, shapes and values of everything that is loaded; `sign` accepts files that were edited on purpose. Directories of
format 1 are read, see `molvae.checkpoint_format_1`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from molvae.checkpoint_format_1 import FORMAT_1, translate_config, translate_tensor_name
from molvae.chem.tokenizer import Vocabulary
from molvae.data.array_files import read_safetensors
from molvae.data.bloom_filter import BloomFilter
from molvae.data.files import atomic_write, atomic_write_folder, checksum
from molvae.data.json_files import (
    SIGNATURE,
    check_regular_file,
    from_json,
    is_signed,
    option,
    read_json,
    read_object,
    reading,
    shortened_repr,
    signed,
)
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
_REQUIRED_FILES = (WEIGHTS_FILE, VOCABULARY_FILE)
_COPY_AGAIN = "copy the model directory again, or train the model again"
_EDITED = "copy the model directory again, or accept the change with `molvae sign {}` if you made it on purpose"


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

    temperature: float = field(default=1.0, metadata=option(min=0, max=100))
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
        If a file is missing, damaged or edited, or the format is unknown; the message names the file.
    """
    folder = find_model(name_or_path)
    config = _read_config(folder)
    _check_digests(folder, config)
    return _load_parts(folder, config, torch.device(device))


def sign(folder: Path | str) -> Path:
    """Accept the files of a model directory as they are: write their digests into config.json.

    Use it after editing a file on purpose, such as the sampling defaults in config.json.

    Parameters
    ----------
    folder : Path or str
        Model directory.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    CheckpointError
        If the model cannot be loaded, apart from the digests; the directory is then unchanged.
    """
    folder = find_model(folder)
    config = _read_config(folder)
    present = [name for name in _HASHED_FILES if (folder / config.path(name)).exists()]
    digests = {config.path(name): _checksum(folder / config.path(name)) for name in present}
    content = {**config.content, "sha256": digests}
    if PRIOR_FILE not in present:
        content.pop("prior", None)
    _load_parts(folder, _parse_config(folder, content), torch.device("cpu"))
    with atomic_write(folder / CONFIG_FILE) as draft:
        draft.write_text(json.dumps(signed(content), indent=2) + "\n", encoding="utf-8")
    return folder


def has_weights(folder: Path, model: Autoencoder) -> bool:
    """Whether a model directory contains exactly these weights; False if it is missing or damaged."""
    try:
        stored = read_safetensors(folder / WEIGHTS_FILE)
    except (OSError, InputError):
        return False
    state = half_precision_state(model)
    return state.keys() == stored.keys() and all(
        torch.equal(tensor, torch.from_numpy(stored[name])) for name, tensor in state.items()
    )


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
    if not path.exists():
        return {}
    with reading(path, CheckpointError, f"{_COPY_AGAIN}, or delete the file"):
        return read_object(path)


def read_vocabulary(path: Path, advice: str) -> Vocabulary:
    """Read the tokens of a model. Raises `CheckpointError`, with the advice, if the file is missing or damaged."""
    with reading(path, CheckpointError, advice):
        return Vocabulary(from_json(tuple[str, ...], read_json(path)))


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
    (folder / CONFIG_FILE).write_text(json.dumps(signed(config), indent=2) + "\n", encoding="utf-8")


# --- reading ---


@dataclass(frozen=True)
class _StoredConfig:
    """The settings in config.json, under the names of format 2."""

    format: str
    name: str = field(metadata=option(printable=True))
    model: ModelConfig
    defaults: SamplingDefaults
    sha256: dict[str, str]
    prior: PriorConfig | None = None
    settings_sha256: str = ""


@dataclass(frozen=True)
class _Config:
    """config.json: its content, its settings, and the names on disk of files whose name is another in format 2."""

    content: dict[str, Any]
    settings: _StoredConfig
    file_names: dict[str, str]

    def path(self, name: str) -> str:
        """The name on disk of a file of format 2."""
        return self.file_names.get(name, name)


def _read_config(folder: Path) -> _Config:
    path = folder / CONFIG_FILE
    with reading(path, CheckpointError, _COPY_AGAIN):
        content = read_object(path)
    found = content.get("format")
    if found not in (FORMAT, FORMAT_1):
        raise CheckpointError(
            f"{path} has the format {shortened_repr(found)}, but this version of molvae reads {FORMAT!r}: "
            "load it with the version that wrote it, or train the model again"
        )
    return _parse_config(folder, content)


def _parse_config(folder: Path, content: dict[str, Any]) -> _Config:
    path = folder / CONFIG_FILE
    with reading(path, CheckpointError, f"correct it, or {_COPY_AGAIN}"):
        translated, file_names = translate_config(content) if content["format"] == FORMAT_1 else (content, {})
        settings = from_json(_StoredConfig, translated)
    for name in settings.sha256:
        if name not in _HASHED_FILES:
            raise CheckpointError(
                f"{path} lists {shortened_repr(name)}, which is not a file of a model: do not use this directory"
            )
    if settings.prior is not None and settings.prior.latent_dim != settings.model.latent_dim:
        raise CheckpointError(
            f"{path}: the prior has {settings.prior.latent_dim} dimensions, the latent {settings.model.latent_dim}: "
            f"{_COPY_AGAIN}"
        )
    return _Config(content, settings, file_names)


def _check_digests(folder: Path, config: _Config) -> None:
    """Compare the SHA-256 of all files, and of the settings themselves, with config.json."""
    expected = config.settings.sha256
    needed = [*_REQUIRED_FILES, *([PRIOR_FILE] if config.settings.prior else ())]
    for name in dict.fromkeys([*needed, *expected]):
        path = folder / config.path(name)
        if name not in expected:
            raise CheckpointError(f"{folder / CONFIG_FILE} does not list {path.name}: {_EDITED.format(folder)}")
        if _checksum(path) != expected[name]:
            raise CheckpointError(
                f"{path} is damaged or was edited (its sha256 differs from {CONFIG_FILE}): {_EDITED.format(folder)}"
            )
    if not is_signed(config.content):
        raise CheckpointError(
            f"{folder / CONFIG_FILE} is damaged or was edited (its settings differ from {SIGNATURE}): "
            f"{_EDITED.format(folder)}"
        )


def _checksum(path: Path) -> str:
    with reading(path, CheckpointError, f"the model directory is incomplete; {_COPY_AGAIN}"):
        check_regular_file(path)
        return checksum(path)


def _load_parts(folder: Path, config: _Config, device: torch.device) -> Checkpoint:
    """Read the files of a model and check that they belong together."""
    settings = config.settings
    paths = {name: folder / config.path(name) for name in settings.sha256}
    weights = paths[WEIGHTS_FILE]
    vocabulary = read_vocabulary(paths[VOCABULARY_FILE], _COPY_AGAIN)
    if len(vocabulary) != settings.model.vocab_size:
        raise CheckpointError(
            f"{paths[VOCABULARY_FILE]} has {len(vocabulary)} tokens, the network {settings.model.vocab_size}: "
            f"{_COPY_AGAIN}"
        )
    with reading(weights, CheckpointError, _COPY_AGAIN):
        model = build_from_state(partial(Autoencoder.from_config, settings.model), _read_tensors(weights, settings))
    prior = None
    if settings.prior is not None:
        with reading(paths[PRIOR_FILE], CheckpointError, _COPY_AGAIN):
            state = _read_tensors(paths[PRIOR_FILE], settings)
            prior = build_from_state(partial(prior_from_config, settings.prior), state)
            prior.check_arrays()
    try:
        reference_path = paths.get(LIKELIHOOD_REFERENCE_FILE)
        reference = LikelihoodReference.load(reference_path) if reference_path else None
    except InputError as error:
        raise CheckpointError(str(error)) from None
    return Checkpoint(
        name=settings.name,
        model=model.to(device).eval(),
        config=settings.model,
        vocabulary=vocabulary,
        defaults=settings.defaults,
        training_filter=BloomFilter.load(paths[BLOOM_FILTER_FILE]) if BLOOM_FILTER_FILE in paths else None,
        card=read_card(folder),
        prior=prior.eval().requires_grad_(False).to(device) if prior else None,
        likelihood_reference=reference,
    )


def _read_tensors(path: Path, settings: _StoredConfig) -> dict[str, torch.Tensor]:
    """Tensors of a file in single precision, under the names of format 2."""
    state = {name: torch.from_numpy(array) for name, array in read_safetensors(path).items()}
    if settings.format == FORMAT_1:
        state = {translate_tensor_name(key): tensor for key, tensor in state.items()}
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
