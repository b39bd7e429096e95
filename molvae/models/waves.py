"""Places in a string as numbers that a linear layer can tell apart and compare."""

from __future__ import annotations

import torch
from torch import Tensor

WAVES = 16
"""Sine and cosine pairs, wavelengths from 4 to 400 places."""


def waves(place: Tensor) -> Tensor:
    """Sines and cosines of places at geometrically spaced wavelengths: N -> N x 2 WAVES (Vaswani et al. 2017)."""
    exponent = torch.linspace(0, 1, WAVES, device=place.device)
    angle = 2 * torch.pi * place[:, None] / (4 * 100**exponent)
    return torch.cat([angle.sin(), angle.cos()], dim=1)
