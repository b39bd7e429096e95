"""last.ckpt, the checkpoint of a run: written atomically, and read back to resume the run at the same step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from molvae.data.files import FolderLock, atomic_write
from molvae.errors import CheckpointError
from molvae.nn.autoencoder import Autoencoder
from molvae.training.config import TrainConfig, run_progress

REQUIRED_KEYS = frozenset({"state_dict", "optimizer_states", "global_step", "loops", "minutes", "reserved_minutes"})


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint next to the old one and then replaces it, so that a killed process leaves a complete file.

    Lightning writes to the system's temporary folder first; moving the file from there to another disk is a copy,
    which is not atomic.

    Parameters
    ----------
    lock
        Lock of this run on its folder. Saving raises `MolvaeError` once a later run has taken over the folder.
    """

    def __init__(self, lock: FolderLock | None = None) -> None:
        super().__init__()
        self.lock = lock

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        if self.lock is not None:
            self.lock.check()
        with atomic_write(Path(path)) as draft, draft.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


class LastCheckpoint(Callback):
    """Saves a checkpoint every `every` steps and at the end of the run.

    The checkpoint of a step is written when the next step begins. By then the step's metrics are written and its
    validation is done, so a resumed run repeats whole steps only.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every, self.first_step = path, every, 0

    def on_train_start(self, trainer: lightning.Trainer, _: Any) -> None:
        self.first_step = trainer.global_step

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step % self.every == 0 and trainer.global_step != self.first_step:
            trainer.save_checkpoint(self.path)
            module.timer.pause()

    def on_train_end(self, trainer: lightning.Trainer, _: Any) -> None:
        trainer.save_checkpoint(self.path)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read last.ckpt; None if the file does not exist.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    if not path.exists():
        return None
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if missing := REQUIRED_KEYS - set(checkpoint):
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except Exception as error:  # torch.load raises many types of errors for damaged files
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is damaged ({reason}); delete it to start the run again") from None
    return checkpoint


def is_finished(checkpoint: dict[str, Any], config: TrainConfig) -> bool:
    """Whether a run is complete under these settings. More steps or minutes than before extend it."""
    stopped_early = bool(config.patience) and bool(checkpoint.get("stopped_early"))
    progress = run_progress(config, checkpoint["global_step"], checkpoint["minutes"], checkpoint["reserved_minutes"])
    return stopped_early or progress >= 1.0


def load_weights(model: Autoencoder, checkpoint: dict[str, Any]) -> None:
    """Copy the weights of a checkpoint into a model of the same architecture."""
    state = {name.removeprefix("model."): value for name, value in checkpoint["state_dict"].items()}
    model.load_state_dict(state)


def reset_loop_counters(checkpoint: dict[str, Any]) -> None:
    """Set Lightning's loop counters to: `global_step` steps complete, none started, in the first epoch.

    Lightning's own counters depend on the hook that saved the checkpoint: a batch counts as started or complete, and
    after the last hook the whole epoch counts as complete. A run resumed from such counters would validate a step
    early or late, or start a second epoch.
    """
    steps = checkpoint["global_step"]
    fit = checkpoint["loops"]["fit_loop"]
    batches, epochs = fit["epoch_loop.batch_progress"], fit["epoch_progress"]
    for part in ("total", "current"):
        batches[part] = dict.fromkeys(batches[part], steps)
        epochs[part] = {**dict.fromkeys(epochs[part], 0), "ready": 1, "started": 1}
    batches["is_last_batch"] = False
    fit["epoch_loop.state_dict"]["_batches_that_stepped"] = steps
