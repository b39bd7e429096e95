"""settings.json: what is needed to repeat a run, kept in its folder and checked when the run is resumed."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from molvae.errors import CheckpointError
from molvae.nn.config import ModelConfig
from molvae.training.config import TrainConfig

MAY_CHANGE = ("max_steps", "max_minutes")
"""A finished run may be given more; everything else would make it another run."""


def keep_settings(
    path: Path,
    model: ModelConfig,
    training: TrainConfig,
    data: dict[str, Any],
    *,
    command: str | None = None,
    resuming: bool = False,
) -> None:
    """Write what is needed to repeat the run, or check that a resumed run has the settings it began with.

    Raises `CheckpointError` naming what changed.
    """
    now = {"model": dataclasses.asdict(model), "training": dataclasses.asdict(training), "data": data}
    now = json.loads(json.dumps(now))  # as it will be read back: tuples are lists
    if resuming:
        _check(path, now)
    text = json.dumps({**now, "command": command, "versions": _versions(), "machine": _machine()}, indent=2)
    part = path.with_name(path.name + ".part")
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, path)


def check_settings(path: Path, training: TrainConfig, data: dict[str, Any]) -> None:
    """What `keep_settings` checks, as far as it can be told before the data is packed."""
    _check(path, json.loads(json.dumps({"training": dataclasses.asdict(training), "data": data})))


def _check(path: Path, now: dict[str, Any]) -> None:
    if path.exists() and (changed := _changes(_read(path), now)):
        raise CheckpointError(
            f"{path.parent} holds a run with other settings ({'; '.join(changed)}): resume it with its own, "
            "or choose another folder"
        )


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Settings that both runs name and name differently (an older run names fewer)."""
    return [
        f"{key} {before[part][key]!r} -> {value!r}"
        for part in now
        for key, value in now[part].items()
        if key in before.get(part, {}) and before[part][key] != value and key not in MAY_CHANGE
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); delete the folder to start again") from None
    return found


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("molvae", "torch", "lightning", "torch-geometric", "numpy", "rdkit"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def _machine() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    threads = torch.get_num_threads()
    return {"system": platform.platform(), "cpus": os.cpu_count(), "threads": threads, "gpus": gpus}
