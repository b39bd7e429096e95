"""Where models are: the shipped models and model directories. Imports no torch, so a wrong name is reported at once."""

from __future__ import annotations

from pathlib import Path

from molvae.errors import CheckpointError, did_you_mean

SHIPPED_MODELS = Path(__file__).parent / "weights"
"""Folder of the models that are part of the package."""

CONFIG_FILE = "config.json"
_MAX_SHOWN = 100  # characters of a name in messages


def shipped_models() -> list[str]:
    """Names of the models that are part of the package, sorted."""
    return sorted(path.parent.name for path in SHIPPED_MODELS.glob(f"*/{CONFIG_FILE}"))


def find_model(name_or_path: str | Path) -> Path:
    """Find a model directory by the name of a shipped model or by its path.

    A folder with the name of a shipped model takes precedence only if it contains a model.

    Raises
    ------
    CheckpointError
        If the model does not exist; the message suggests the closest name.
    """
    name, path, names = str(name_or_path), Path(name_or_path), shipped_models()
    shown = repr(name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}...")
    try:
        if path.is_dir() and (name not in names or (path / CONFIG_FILE).exists()):
            return path
        is_file = path.is_file()
    except OSError as error:  # such as a path that is too long, or a folder without permission
        raise CheckpointError(f"no model {shown}: {error.strerror or error}") from None
    if name in names:
        return SHIPPED_MODELS / name
    hint = did_you_mean(name[:_MAX_SHOWN], names)
    known = f"the shipped models are {', '.join(names)}" if names else "no models are shipped with this version"
    problem = "it is a file, not a directory" if is_file else "it is not a directory"
    raise CheckpointError(f"no model {shown}{hint}: {problem}, and {known}")
