"""What happens around the steps of a run: its end, its compilation, the record of its validations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from molvae.nn.decoders import GRUDecoder
from molvae.training.curves import CurveDrawer


class TimeBox(Callback):
    """Stops the run when its time or its steps are used up, and keeps time for the last validation."""

    began = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        module.clock.step_ends()
        if module.progress_at_end() >= 1.0:
            trainer.should_stop = True

    def on_validation_start(self, _: lightning.Trainer, module: Any) -> None:
        self.began = module.minutes()

    def on_validation_end(self, _: lightning.Trainer, module: Any) -> None:
        module.reserve = max(module.reserve, module.minutes() - self.began)
        module.clock.pause()


class Compilation(Callback):
    """Compiles the decoder for the run and leaves it as it was."""

    def setup(self, _: lightning.Trainer, module: Any, stage: str) -> None:  # noqa: ARG002
        if module.config.compile:
            decoder = module.model.decoder
            if isinstance(decoder, GRUDecoder):  # here and not where it is defined: what compiles takes long to import
                decoder.unpadded = torch.compiler.disable(decoder.unpadded)  # type: ignore[method-assign]
            # in place, so that the names of the weights stay; dynamic, since batches differ in length
            decoder.compile(dynamic=True)

    def teardown(self, _: lightning.Trainer, module: Any, stage: str) -> None:  # noqa: ARG002
        module.model.decoder._compiled_call_impl = None
        vars(module.model.decoder).pop("unpadded", None)


class ValidationRow(Callback):
    """Adds what a validation found to metrics.csv and draws the curves."""

    def __init__(self, folder: Path) -> None:
        self.curves = CurveDrawer(folder)

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            found = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("valid/")}
            module.metrics.add(trainer.global_step - 1, found)  # a row's step counts from 0
            self.curves.draw()
