"""last.ckpt: written whole or not at all, and read back so that a run goes on exactly where it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from molvae.data.files import Claim
from molvae.errors import CheckpointError
from molvae.nn.autoencoder import Autoencoder
from molvae.training.config import TrainConfig, run_progress


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the old checkpoint, then takes its place: a kill at any moment leaves one that is whole.

    Lightning's own way goes through the system's temporary folder; from there to another disk a move copies. A run
    whose folder is another's by now (`claim`) ends here.
    """

    def __init__(self, claim: Claim | None = None) -> None:
        super().__init__()
        self.claim = claim

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        if self.claim is not None:
            self.claim.check()
        path = Path(path)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)


class LastCheckpoint(Callback):
    """Saves every so many steps, and at the end.

    A step's checkpoint is written as the next step begins, when its row of metrics is written and its
    validation, if there was one, is over: what a resumed run has to repeat is then whole steps.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every, self.first = path, every, 0

    def on_train_start(self, trainer: lightning.Trainer, _: Any) -> None:
        self.first = trainer.global_step

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step % self.every == 0 and trainer.global_step != self.first:
            trainer.save_checkpoint(self.path)
            module.clock.pause()

    def on_train_end(self, trainer: lightning.Trainer, _: Any) -> None:
        trainer.save_checkpoint(self.path)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What last.ckpt holds, or None where there is none. Raises `CheckpointError` when it cannot be read."""
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if missing := {"state_dict", "optimizer_states", "global_step", "loops", "minutes"} - set(found):
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except Exception as error:  # torch.load fails in as many ways as a file can be broken
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is damaged ({reason}); delete it to start the run again") from None
    return found


def finished(checkpoint: dict[str, Any], config: TrainConfig) -> bool:
    """Whether a run is over under these settings: more steps or minutes than it had make it go on."""
    stopped = bool(config.patience) and bool(checkpoint.get("stopped_early"))
    reserve = checkpoint.get("reserve", 0.0)
    return stopped or run_progress(config, checkpoint["global_step"], checkpoint["minutes"], reserve) >= 1.0


def load_weights(model: Autoencoder, checkpoint: dict[str, Any]) -> None:
    """Put a checkpoint's weights into a model of the same shape."""
    state = {name.removeprefix("model."): value for name, value in checkpoint["state_dict"].items()}
    model.load_state_dict(state)


def between_steps(checkpoint: dict[str, Any]) -> None:
    """Make a checkpoint's counters say what it is: so many steps done, none begun, in the first epoch.

    Lightning counts a batch as begun or ended depending on the hook that saved, and the whole run as
    ended in the last one; a run resumed from such counters validates a step early or late, or begins a second epoch.
    """
    done = checkpoint["global_step"]
    fit = checkpoint["loops"]["fit_loop"]
    batches, epochs = fit["epoch_loop.batch_progress"], fit["epoch_progress"]
    for part in ("total", "current"):
        batches[part] = dict.fromkeys(batches[part], done)
        epochs[part] = {**dict.fromkeys(epochs[part], 0), "ready": 1, "started": 1}
    batches["is_last_batch"] = False
    fit["epoch_loop.state_dict"]["_batches_that_stepped"] = done
