from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from molvae.training.curves import CurveDrawer

DRAW_CURVES = CurveDrawer.draw


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    """The last digits of sums depend on the number of threads, and losses are compared exactly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing curves.png after every validation takes longer than the training itself."""
    monkeypatch.setattr(CurveDrawer, "draw", lambda _: None)


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch, no_curves: None) -> None:  # noqa: ARG001
    """Draw the curves nevertheless."""
    monkeypatch.setattr(CurveDrawer, "draw", DRAW_CURVES)
