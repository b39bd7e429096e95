"""Places as sines and cosines."""

from __future__ import annotations

import math

import torch

from molvae.nn.decoders import WAVES, waves


def test_places_are_told_apart():
    found = waves(torch.arange(400))
    assert found.shape == (400, 2 * WAVES)
    assert torch.pdist(found).min() > 0.05


def test_wavelengths_go_from_4_to_400_places():
    found = waves(torch.tensor([7]))[0]
    for wave, length in [(0, 4), (WAVES - 1, 400)]:
        assert math.isclose(found[wave], math.sin(2 * math.pi * 7 / length), abs_tol=1e-5)
        assert math.isclose(found[WAVES + wave], math.cos(2 * math.pi * 7 / length), abs_tol=1e-5)
