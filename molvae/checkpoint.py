"""A model directory: weights, settings, vocabulary, card. Loading one reads data and runs no code.

weights.safetensors   half precision
config.json           format, shape of the model, sampling defaults, sha256 of the other files
vocabulary.json       the symbols, in the order of their ids
bloom_filter.npz      optional: the molecules that the model was trained on (data.bloom_filter.BloomFilter)
prior.safetensors     optional: a learned prior (models.priors); what it is made of stands in config.json
likelihood_reference.json  optional: how well the model knows its training set (calibration.LikelihoodReference)
card.json, card.md    what it was trained on, for how long, on what, and what it scores
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode

from molvae.chem.tokenizer import Vocabulary
from molvae.data.bloom_filter import BloomFilter
from molvae.data.files import atomic_write_folder, checksum
from molvae.errors import CheckpointError, InputError, did_you_mean
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import JsonConfig, ModelConfig
from molvae.nn.likelihood_reference import LikelihoodReference
from molvae.nn.priors import Prior, PriorConfig, prior_from_config

FORMAT, FORMAT_1 = "molvae-model-2", "molvae-model-1"
SHIPPED = Path(__file__).parent / "weights"
WEIGHTS, CONFIG, VOCABULARY, SEEN, CARD = (
    "weights.safetensors",
    "config.json",
    "vocabulary.json",
    "bloom_filter.npz",
    "card",
)
PRIOR, USUAL = "prior.safetensors", "likelihood_reference.json"
FILES = (WEIGHTS, VOCABULARY, SEEN, PRIOR, USUAL)

# What a model directory of format 1 calls by other names: files, settings in config.json, parts of the names of tensors.
_FORMAT_1_FILES = {SEEN: "seen.npz", USUAL: "usual.json"}
_FORMAT_1_SETTINGS = {
    "vocabulary_size": "vocab_size",
    "encoder_width": "encoder_dim",
    "decoder_width": "decoder_dim",
    "embedding_width": "embedding_dim",
    "reading_width": "bilinear_dim",
    "latent_size": "latent_dim",
    "max_symbols": "max_length",
    "radius": "noise_level",
}
_FORMAT_1_TENSORS = {".standardise.": ".standardize.", ".radius.": ".noise_level."}

Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True)
class SamplingDefaults(JsonConfig):
    """What the commands use where the caller says nothing; chosen on the model's own measurements."""

    temperature: float = 1.0  # of the analogs' and prior samples' symbols
    noise_aware: bool = True  # trained with perturbed latents, so the decoder is told the noise level


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model and all that came with it."""

    name: str
    model: Autoencoder
    config: ModelConfig
    vocabulary: Vocabulary
    defaults: SamplingDefaults = field(default_factory=SamplingDefaults)
    seen: BloomFilter | None = None
    card: dict[str, Any] = field(default_factory=dict)
    prior: Prior | None = None
    usual: LikelihoodReference | None = None


def shipped_models() -> list[str]:
    """The names of the models in the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG}"))


def locate(name_or_path: str | Path) -> Path:
    """The directory of a shipped model's name, or of a path. Raises `CheckpointError` when there is none.

    A folder that is called as a shipped model is, such as one with its data, is not taken for it unless it is a model.
    """
    path, names = Path(name_or_path), shipped_models()
    if path.is_dir() and (str(name_or_path) not in names or (path / CONFIG).exists()):
        return path
    if str(name_or_path) in names:
        return SHIPPED / str(name_or_path)
    hint = did_you_mean(str(name_or_path), names)
    known = f"the shipped models are {', '.join(names)}" if names else "no models are shipped with this version"
    raise CheckpointError(f"no model {str(name_or_path)!r}{hint}: it is not a directory, and {known}")


def save(checkpoint: Checkpoint, folder: Path | str) -> Path:
    """Write a model directory; it appears whole or not at all, in place of an older one."""
    folder = Path(folder)
    with atomic_write_folder(folder, holding=CONFIG) as draft:
        _write(checkpoint, draft)
    return folder


def _write(checkpoint: Checkpoint, folder: Path) -> None:
    save_file(_halves(checkpoint.model), folder / WEIGHTS)
    (folder / VOCABULARY).write_text(checkpoint.vocabulary.to_json(), encoding="utf-8")
    if checkpoint.seen is not None:
        checkpoint.seen.save(folder / SEEN)
    if checkpoint.prior is not None:
        save_file(_halves(checkpoint.prior), folder / PRIOR)
    if checkpoint.usual is not None:
        checkpoint.usual.save(folder / USUAL)
    write_card(folder, checkpoint.name, checkpoint.card)
    config = {
        "format": FORMAT,
        "name": checkpoint.name,
        "model": dataclasses.asdict(checkpoint.config),
        "defaults": dataclasses.asdict(checkpoint.defaults),
        "sha256": {f: checksum(folder / f) for f in FILES if (folder / f).exists()},
    }
    if checkpoint.prior is not None:
        config["prior"] = dataclasses.asdict(checkpoint.prior.config)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def holds(folder: Path, model: Autoencoder) -> bool:
    """Whether a directory has just these weights; False where there is none, or a damaged one."""
    try:
        there = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError):
        return False
    mine = _halves(model)
    return mine.keys() == there.keys() and all(torch.equal(tensor, there[name]) for name, tensor in mine.items())


def load(name_or_path: str | Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a model directory, by the name of a shipped model or by path, ready for use on `device`.

    Raises `CheckpointError` saying which file is missing, damaged, or of another version.
    """
    folder = locate(name_or_path)
    config = _config(folder)
    files: dict[str, str] = config.get("files", {})  # where a file has another name on disk
    for name, expected in config["sha256"].items():
        if name not in FILES:
            raise CheckpointError(f"{folder / CONFIG} names {name!r}, which is no file of a model: do not use it")
        path = _present(folder, files.get(name, name))
        if checksum(path) != expected:
            raise CheckpointError(f"{path} is damaged (its sha256 is not the one in {CONFIG}): copy it again")
    try:
        shape = ModelConfig.from_dict(config["model"])
        defaults = SamplingDefaults.from_dict(config["defaults"])
        vocabulary = Vocabulary.from_json(_present(folder, VOCABULARY).read_text(encoding="utf-8"))
        if len(vocabulary) != shape.vocab_size:
            raise InputError(f"{VOCABULARY} has {len(vocabulary)} symbols, the network {shape.vocab_size}")
        model = _filled(partial(Autoencoder.from_config, shape), _state(folder, WEIGHTS))
        prior = _prior(folder, config["prior"], shape) if "prior" in config else None
        usual = LikelihoodReference.load(folder / files.get(USUAL, USUAL)) if USUAL in config["sha256"] else None
    except (InputError, TypeError, KeyError, RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: cannot load the model: {error}") from None
    return Checkpoint(
        name=config["name"],
        model=model.to(device).eval(),
        config=shape,
        vocabulary=vocabulary,
        defaults=defaults,
        seen=BloomFilter.load(folder / files.get(SEEN, SEEN)) if SEEN in config["sha256"] else None,
        card=read_card(folder),
        prior=prior.to(device) if prior else None,
        usual=usual,
    )


def _filled(make: Callable[[], Network], state: dict[str, torch.Tensor]) -> Network:
    """A network with these weights, for which memory is taken only where they fit."""
    with torch.device("meta"), _Undrawn():
        wanted = {name: tensor.shape for name, tensor in make().state_dict().items()}
    for name, size in wanted.items():
        if name not in state or state[name].shape != size:
            found = f"is {tuple(state[name].shape)}" if name in state else "is missing"
            raise InputError(f"{name} {found}, and should be {tuple(size)}")
    with _Undrawn():
        network = make()
    network.load_state_dict(state)
    return network


class _Undrawn(TorchFunctionMode):
    """Networks are made without drawing first weights, which are to be others, from the caller's random numbers.

    On no device, where torch would import its compiler to do nothing, that is a second saved.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        draws = getattr(func, "__name__", "") in ("normal_", "uniform_")
        if draws or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _prior(folder: Path, settings: dict[str, Any], shape: ModelConfig) -> Prior:
    found = PriorConfig.from_dict(settings)
    if found.latent_dim != shape.latent_dim:
        raise InputError(f"the prior has {found.latent_dim} dimensions, the latent {shape.latent_dim}")
    prior = _filled(partial(prior_from_config, found), _state(folder, PRIOR))
    return prior.eval().requires_grad_(False)


def _state(folder: Path, name: str) -> dict[str, torch.Tensor]:
    state = load_file(_present(folder, name))
    return {_tensor_name(k): v.float() if v.is_floating_point() else v for k, v in state.items()}


def _tensor_name(stored: str) -> str:
    """The name of a tensor in this version, from its name in a file of either format."""
    for old, new in _FORMAT_1_TENSORS.items():
        stored = stored.replace(old, new)
    return stored


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a model is, for people and as JSON: parameters per part, shape, vocabulary, defaults, card."""
    model, seen = checkpoint.model, checkpoint.seen
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    return {
        "name": checkpoint.name,
        "parameters": {**parts, "total": sum(parts.values())},
        "vocabulary": len(checkpoint.vocabulary),
        "known_training_molecules": 0 if seen is None else len(seen),
        "likelihood_reference_molecules": checkpoint.usual.molecules if checkpoint.usual else 0,
        "shape": dataclasses.asdict(checkpoint.config),
        "defaults": dataclasses.asdict(checkpoint.defaults),
        "prior": dataclasses.asdict(checkpoint.prior.config) if checkpoint.prior else "unit",
        "card": checkpoint.card,
    }


def read_card(folder: Path) -> dict[str, Any]:
    """The model card of a directory; empty where there is none. Raises `CheckpointError` when it is damaged."""
    path = folder / f"{CARD}.json"
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}): the file is damaged") from None
    return card


def write_card(folder: Path, name: str, card: dict[str, Any]) -> None:
    """The card of a model directory, as JSON and to be read."""
    (folder / f"{CARD}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    (folder / f"{CARD}.md").write_text(card_text(name, card), encoding="utf-8")


def card_text(name: str, card: dict[str, Any]) -> str:
    """A card as Markdown: a section per entry, a table where the entry is one."""
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


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(_present(folder, CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG} is not JSON ({error}): the file is damaged") from None
    if not isinstance(config, dict) or config.get("format") not in (FORMAT, FORMAT_1):
        found = config.get("format") if isinstance(config, dict) else None
        raise CheckpointError(
            f"{folder}: format {found!r}, but this version of molvae reads {FORMAT!r}: "
            "use the version that wrote it, or train again"
        )
    missing = [key for key in ("name", "model", "defaults", "sha256") if key not in config]
    if missing:
        raise CheckpointError(f"{folder / CONFIG} lacks {', '.join(missing)}: the file is damaged")
    for key in ("model", "defaults", "sha256"):
        if not isinstance(config[key], dict):
            raise CheckpointError(f"{folder / CONFIG}: {key} is not a table: the file is damaged")
    return _from_format_1(config) if config["format"] == FORMAT_1 else config


def _from_format_1(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a directory of format 1 under the names of this one; `files` keeps the names on disk."""
    for key in ("model", "prior"):
        if isinstance(config.get(key), dict):
            config[key] = {_FORMAT_1_SETTINGS.get(name, name): value for name, value in config[key].items()}
    names = {old: new for new, old in _FORMAT_1_FILES.items()}
    config["sha256"] = {names.get(name, name): value for name, value in config["sha256"].items()}
    return {**config, "files": _FORMAT_1_FILES}


def _present(folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        raise CheckpointError(f"{folder} lacks {name}: it is not a whole model directory")
    return folder / name


def _halves(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Its weights as they are stored."""
    return {name: _half(tensor) for name, tensor in module.state_dict().items()}


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().half().contiguous() if tensor.is_floating_point() else tensor.detach().cpu()
