"""settings.json of a run: everything needed to repeat the run, compared when the run is resumed."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from molvae.data.files import atomic_write
from molvae.data.json_files import read_object, reading
from molvae.errors import CheckpointError
from molvae.nn.config import ModelConfig
from molvae.training.config import TrainConfig

EXTENDABLE = ("max_steps", "max_minutes")
"""Settings that may differ when a run is resumed: a finished run can be extended."""


def write_settings(
    path: Path, model: ModelConfig, training: TrainConfig, data: dict[str, Any], *, resuming: bool = False
) -> None:
    """Write the settings of a run with the versions of its libraries and its hardware.

    Raises
    ------
    CheckpointError
        If `resuming` and the file at `path` has other settings; the message lists the differences.
    """
    settings = {"model": dataclasses.asdict(model), "training": dataclasses.asdict(training), "data": data}
    settings = json.loads(json.dumps(settings))  # tuples become lists, as in the file
    if resuming:
        _compare(path, settings)
    text = json.dumps({**settings, "versions": _versions(), "hardware": _hardware()}, indent=2)
    with atomic_write(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def check_settings(path: Path, training: TrainConfig, data: dict[str, Any]) -> None:
    """Compare the settings that are known before the data is packed.

    Raises
    ------
    CheckpointError
        If the file at `path` has other settings.
    """
    _compare(path, json.loads(json.dumps({"training": dataclasses.asdict(training), "data": data})))


def _compare(path: Path, settings: dict[str, Any]) -> None:
    if path.exists() and (differences := _differences(_read(path), settings)):
        raise CheckpointError(
            f"{path.parent} holds a run with other settings ({'; '.join(differences)}): resume it with its own "
            "settings, or choose another folder"
        )


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Settings that have different values in both; settings that only one of them has are ignored."""
    return [
        f"{key} {before[section][key]!r} -> {value!r}"
        for section in now
        for key, value in now[section].items()
        if key in before.get(section, {}) and before[section][key] != value and key not in EXTENDABLE
    ]


def _read(path: Path) -> dict[str, Any]:
    with reading(path, CheckpointError, "delete the folder to start again"):
        return read_object(path, surrogates=True)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("molvae", "torch", "lightning", "torch-geometric", "numpy", "rdkit"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    return versions


def _hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    threads = torch.get_num_threads()
    return {"system": platform.platform(), "cpus": os.cpu_count(), "threads": threads, "gpus": gpus}
