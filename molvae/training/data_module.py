"""What the trainer iterates over: batches without content, since a step knows its rows by its number."""

from __future__ import annotations

from collections.abc import Iterator

import lightning
from torch.utils.data import DataLoader, IterableDataset

from molvae.training.module import VALIDATION_BATCH


class Ticks(lightning.LightningDataModule):
    """As many batches as there are steps, all empty."""

    def __init__(self, valid_size: int) -> None:
        super().__init__()
        self.validations = -(-valid_size // VALIDATION_BATCH)

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(_Endless(), batch_size=None)

    def val_dataloader(self) -> DataLoader[int]:
        return DataLoader(range(self.validations), batch_size=None)  # type: ignore[arg-type]


class _Endless(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 0
