"""Sinusoidal encoding: positions are distinguishable and wavelengths are as documented."""

from __future__ import annotations

import math

import torch

from molvae.nn.layers import ENCODING_DIM, N_FREQUENCIES, sinusoidal_encoding


def test_positions_are_distinguishable():
    encoding = sinusoidal_encoding(torch.arange(400))
    assert encoding.shape == (400, ENCODING_DIM)
    assert torch.pdist(encoding).min() > 0.05


def test_wavelengths_are_4_to_400_positions():
    encoding = sinusoidal_encoding(torch.tensor([7]))[0]
    for frequency, wavelength in [(0, 4), (N_FREQUENCIES - 1, 400)]:
        angle = 2 * math.pi * 7 / wavelength
        assert math.isclose(encoding[frequency], math.sin(angle), abs_tol=1e-5)
        assert math.isclose(encoding[N_FREQUENCIES + frequency], math.cos(angle), abs_tol=1e-5)
