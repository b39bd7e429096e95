"""Random streams, one per row: the same row gives the same numbers in whatever batch it is drawn.

torch's generators give a batch one stream, so a molecule would depend on its neighbors. Here a number is a hash of
(key of the row, counter), after the counter-based generators of Salmon et al. 2011 ("Parallel random numbers: as easy
as 1, 2, 3"); the hash is the finaliser of SplitMix64 (Steele et al. 2014).
"""

from __future__ import annotations

import torch
from torch import Tensor


def row_keys(seed: int, rows: Tensor) -> Tensor:
    """A key per row (int64) from a seed and the rows' numbers; different seeds give unrelated keys."""
    start = torch.tensor(seed, dtype=torch.int64, device=rows.device)
    return _mix(_mix(start) + rows)


def uniform(keys: Tensor, counter: Tensor | int) -> Tensor:
    """Number `counter` of each row's stream, in (0, 1), float64, shaped like `keys` and `counter` broadcast."""
    place = (
        torch.as_tensor(counter, device=keys.device) + 1
    )  # a tensor: its product wraps at 64 bits, an int's does not
    bits = _shift(_mix(keys + _GOLDEN * place), 11)  # 53 bits: all that a float64 holds
    return (bits.double() + 0.5) * 2.0**-53


def normal(keys: Tensor, size: int, *, stream: int = 0) -> Tensor:
    """`size` standard normal numbers of each row, B x size float32; streams of different numbers do not overlap."""
    counter = torch.arange(size, device=keys.device) + (stream + 1) * 2**20
    numbers: Tensor = torch.special.ndtri(uniform(keys[:, None], counter)).float()
    return numbers


_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed integer


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * -4658895280553007687
    x = (x ^ _shift(x, 27)) * -7723592293110705685
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """A logical shift to the right: torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
