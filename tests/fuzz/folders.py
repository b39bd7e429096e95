"""Targets: mutated model folders, property models and libraries are loaded and used.

Either everything that comes out is finite, or an exception of molvae names a file of the folder. In most folders the
digests are written again after the mutation, so that the checks behind the digests are reached.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import torch
from molecules import DRUGS
from tiny_models import VOCABULARY, tiny_config

from fuzz.folder_mutations import mutate, read_dict, sha256
from fuzz.report import Report, watch
from molvae import checkpoint as checkpoints
from molvae.data.bloom_filter import BloomFilter
from molvae.data.json_files import SIGNATURE, signed
from molvae.errors import MolvaeError, MolvaeWarning
from molvae.generator import Generator
from molvae.library.build import build_index
from molvae.library.indexed_library import open_library
from molvae.library.manifest import ModelId
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.likelihood_reference import PERCENTILES, LikelihoodReference
from molvae.nn.priors import PriorConfig, prior_from_config
from molvae.qsar import fitted_model
from molvae.qsar.estimators import ESTIMATORS
from molvae.qsar.fitted_model import Candidate, EncoderInfo, FittedModel
from molvae.qsar.property_model import load_property_model

SMILES = ["CCO", "CC(=O)Nc1ccc(O)cc1", "OC(=O)c1ccccc1OC(C)=O"]
LIBRARY = [*DRUGS.values(), "CCO", "C1CC", "CCO", "CCN", "c1ccccc1", "not a molecule", "CC(C)O"]
SHARD_ROWS = 8
MAX_MESSAGE = 1500
FILE_NAMES = (".json", ".safetensors", ".npz", ".npy", ".parquet", ".faiss", ".csv", "card.md")
WHOLE_FOLDER = ("was indexed with other", "is an incomplete library", "is not a library")
"""Parts of messages about a folder, which name no file of it."""

Use = Callable[[Path, Report, str], None]


def models(random: Random, n: int) -> Report:
    """Mutated model folders are loaded, encode and decode molecules, and sample."""
    return _run(random, n, _model_folders(), _sign_model, _use_model)


def property_models(random: Random, n: int) -> Report:
    """Mutated property models are loaded and predict."""
    return _run(random, n, _property_folders(), _sign_property_model, _use_property_model)


def libraries(random: Random, n: int) -> Report:
    """Mutated libraries, complete and half built, are searched and indexed again."""
    return _run(random, n, _library_folders(), _sign_library, _use_library)


def _run(random: Random, n: int, folders: list[Path], sign: Callable[[Path], None], use: Use) -> Report:
    report = Report()
    for _ in range(n):
        report.n_inputs += 1
        with tempfile.TemporaryDirectory(dir=_workplace()) as temporary:
            original = random.choice(folders)
            folder = Path(shutil.copytree(original, Path(temporary) / original.name))
            change = f"{original.name}: {mutate(random, folder)}"
            if random.random() < 0.7:
                sign(folder)
                change += ", digests written again"
            watch(change)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                use(folder, report, change)
            for warning in caught:
                if not issubclass(warning.category, MolvaeWarning | DeprecationWarning):
                    report.fail(f"warning {warning.category.__name__}", change, warning.message)
    return report


def _attempt(step: str, action: Callable[[], object], report: Report, change: str) -> bool:
    """Run an action; whether it succeeded. An exception has to be molvae's own and to name a file."""
    start = time.process_time()
    try:
        action()
    except MolvaeError as error:
        message = str(error)
        if (
            not any(part in message for part in FILE_NAMES + WHOLE_FOLDER)
            or len(message) > MAX_MESSAGE
            or not _is_plain(message)
        ):
            report.fail(f"{step}: message", change, message)
        return False
    except Exception as error:
        report.fail(f"{step}: {type(error).__name__}", change, error)
        return False
    finally:
        report.took(time.process_time() - start, change, step)
    return True


def _is_plain(message: str) -> bool:
    return message.isprintable() and not any("\ud800" <= character <= "\udfff" for character in message)


def _check_finite(table: pd.DataFrame, columns: list[str]) -> None:
    """Raise `ArithmeticError` for a value that is not finite in a row without an error."""
    valid = table[table["error"] == ""] if "error" in table else table
    values = valid[columns].to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise ArithmeticError(f"not finite: {values[~np.isfinite(values)][:3]}")


@cache
def _workplace() -> Path:
    folder = tempfile.mkdtemp(prefix="molvae-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


# --- models ---

_CONFIGS = {
    "vae": ({"encoder": "dmpnn", "latent": "gaussian", "decoder": "gru"}, "mixture"),
    "sphere": ({"encoder": "gps", "latent": "hypersphere", "decoder": "transformer"}, "flow"),
    "ae": ({"encoder": "gine", "latent": "deterministic", "decoder": "gru"}, None),
}


@cache
def _model_folders() -> list[Path]:
    return [_save_model(name) for name in _CONFIGS]


def _save_model(name: str) -> Path:
    settings, prior = _CONFIGS[name]
    config = tiny_config(max_length=40, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Autoencoder.from_config(config).eval()
        learned = None
        if prior:
            learned = prior_from_config(PriorConfig(config.latent_dim, kind=prior, width=8, steps=2)).eval()
    checkpoint = checkpoints.Checkpoint(
        name=name, model=model, config=config, vocabulary=VOCABULARY, prior=learned, card={"Data": {"molecules": 3}},
        training_filter=BloomFilter.from_smiles(SMILES),
        likelihood_reference=LikelihoodReference(name, "0" * 32, 30, tuple(map(float, PERCENTILES))),
    )  # fmt: skip
    return checkpoints.save(checkpoint, _workplace() / name)


def _sign_model(folder: Path) -> None:
    config = read_dict(folder / "config.json")
    if config is None:
        return
    if isinstance(config.get("sha256"), dict):
        config["sha256"] = {name: sha256(folder / name) or digest for name, digest in config["sha256"].items()}
    (folder / "config.json").write_text(json.dumps(signed(config)), encoding="utf-8")


def _use_model(folder: Path, report: Report, change: str) -> None:
    loaded: list[Generator] = []
    if not _attempt("load", lambda: loaded.append(Generator.load(folder, "cpu")), report, change):
        return
    report.n_accepted += 1
    generator = loaded[0]
    dim = generator.checkpoint.config.latent_dim

    def encode() -> None:
        table = generator.encode(SMILES)
        _check_finite(table, [f"z{i}" for i in range(dim)])

    def decode() -> None:
        table = generator.decode(np.zeros((2, dim), np.float32), temperature=1.0)
        _check_finite(table.drop(columns="error", errors="ignore"), ["log_likelihood"])

    _attempt("encode", encode, report, change)
    _attempt("decode", decode, report, change)
    _attempt("sample", lambda: generator.sample(2, max_samples=4), report, change)
    _attempt("describe", lambda: _describe(generator), report, change)


def _describe(generator: Generator) -> None:
    json.dumps(checkpoints.describe(generator.checkpoint), allow_nan=False)
    checkpoints.card_text(generator.checkpoint.name, generator.checkpoint.card).encode()


# --- property models ---


@cache
def _property_folders() -> list[Path]:
    from molvae.chem.fingerprints import morgan_counts
    from molvae.chem.smiles import parse

    mols = [parse(text) for text in DRUGS.values()]
    encoder = next(folder for folder in _model_folders() if folder.name == "ae")
    info = EncoderInfo(
        "ae", str(encoder), str(json.loads((encoder / "config.json").read_text())["sha256"]["weights.safetensors"])
    )
    latents = np.random.default_rng(0).normal(size=(len(mols), 5)).astype(np.float32)
    folders = []
    for name, estimator in ESTIMATORS.items():
        for representation, x in (("latent", latents), ("fingerprint", morgan_counts(mols))):
            if name == "bayesian_ridge" and representation == "fingerprint":
                continue  # its covariance takes 32 MB
            y = np.array([float(mol.GetNumAtoms() % 2) for mol in mols])
            fitted = estimator.fit(x, y, 0)
            task = "classification" if name == "logistic_regression" else "regression"
            model = FittedModel(
                "pIC50", task, Candidate(representation, name), fitted, 1.5, info if x is latents else None,
                {"Data": "20 molecules"}, 0.1,
            )  # fmt: skip
            folders.append(_workplace() / f"{name}-{representation}")
            fitted_model.save(model, "# pIC50\n", folders[-1])
    return folders


def _sign_property_model(folder: Path) -> None:
    settings = read_dict(folder / "model.json")
    if settings is not None:
        settings["sha256"] = sha256(folder / "weights.safetensors") or settings.get("sha256")
        (folder / "model.json").write_text(json.dumps(signed(settings)), encoding="utf-8")


def _use_property_model(folder: Path, report: Report, change: str) -> None:
    def predict() -> None:
        model = load_property_model(folder, device="cpu")
        report.n_accepted += 1
        _check_finite(model.predict(SMILES), ["prediction", "uncertainty"])
        model.target.encode()
        json.dumps(model.card, allow_nan=False)

    _attempt("predict", predict, report, change)


# --- libraries ---


@cache
def _library_folders() -> list[Path]:
    """A complete library with an inverted file index, and one that was interrupted after two shards."""
    source = _workplace() / "library.smi"
    source.write_text("".join(f"{text} id{row}\n" for row, text in enumerate(LIBRARY)), encoding="utf-8")
    complete, half = _workplace() / "complete", _workplace() / "half"
    _index(complete)
    open_library(complete, model=_encoder(), device="cpu").search(SMILES[0], nprobe=2, top=3)

    class Interrupted(Exception):
        pass

    def interrupt(counts: object) -> None:
        if getattr(counts, "read", 0) > 2 * SHARD_ROWS:
            raise Interrupted

    with contextlib.suppress(Interrupted):
        _index(half, interrupt)
    return [complete, half]


def _encoder() -> Path:
    return next(folder for folder in _model_folders() if folder.name == "ae")


@cache
def _library_model() -> checkpoints.Checkpoint:
    return checkpoints.load(_encoder())


def _index(folder: Path, progress: Callable[..., None] | None = None) -> None:
    loaded = _library_model()
    build_index(
        [_workplace() / "library.smi"], folder, loaded.model, loaded.vocabulary,
        model_id=ModelId.from_model("ae", loaded.model, loaded.config.latent_dim), workers=0, shard_rows=SHARD_ROWS,
        max_length=loaded.config.max_length, progress=progress,
    )  # fmt: skip


def _sign_library(folder: Path) -> None:
    for path in [*folder.glob("shards/*.json"), folder / "manifest.json", folder / "settings.json"]:
        content = read_dict(path)
        if content is None:
            continue
        shards = content.get("shards", []) if path.name == "manifest.json" else [content]
        for shard in shards if isinstance(shards, list) else []:
            digests = shard.get("sha256") if isinstance(shard, dict) else None
            if isinstance(digests, dict):
                for suffix in digests:
                    file = folder / "shards" / f"{str(shard.get('name'))[:100]}.{suffix[:50]}"
                    digests[suffix] = (sha256(file) if "\0" not in str(file) else None) or digests[suffix]
        if SIGNATURE in content:
            path.write_text(json.dumps(signed(content)), encoding="utf-8")


def _use_library(folder: Path, report: Report, change: str) -> None:
    def search() -> None:
        library = open_library(folder, model=_encoder(), device="cpu")
        for options in ({"rank_by": "tanimoto"}, {"filters": "mw<500"}, {"rank_by": "latent", "nprobe": 2}):
            table = library.search(SMILES[:2], top=5, workers=0, **options)  # type: ignore[arg-type]
            columns = [name for name in ("similarity", "latent_distance") if name in table]
            _check_finite(table, columns)
            if not table["similarity"].between(0, 1).all():
                raise ArithmeticError("similarity out of range")

    def index() -> None:
        _index(folder)
        if "digests" not in change and not _same_files(folder, _library_folders()[0]):
            raise AssertionError("the library differs from that of an undisturbed build")

    searched = _attempt("search", search, report, change)
    indexed = _attempt("index", index, report, change)
    report.n_accepted += searched and indexed
    if indexed:
        _attempt("search again", search, report, change)


def _same_files(folder: Path, expected: Path) -> bool:
    names = {path.relative_to(expected) for path in expected.rglob("*") if path.is_file()}
    return all(
        (folder / name).is_file() and (folder / name).read_bytes() == (expected / name).read_bytes()
        for name in names
        if not name.name.startswith("ivf-")
    )
