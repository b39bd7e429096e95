"""Counter-based random numbers: each row has its own stream, which does not depend on the batch.

The generators of torch share one stream among the rows of a batch, so that a molecule would depend on the other
molecules of its batch. Here a random number is a hash of the key of its row and a counter [1]_. The hash is the
finalizer of SplitMix64 [2]_.

References
----------
.. [1] Salmon et al. "Parallel random numbers: as easy as 1, 2, 3." SC'11 (2011).
.. [2] Steele, Lea, Flood. "Fast splittable pseudorandom number generators." OOPSLA (2014).
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio as a signed 64-bit integer
_STREAM_LENGTH = 2**20  # numbers per row in a stream of `normal`


def row_keys(random_state: int, rows: Tensor) -> Tensor:
    """Keys of rows.

    Parameters
    ----------
    random_state
        64-bit seed; different seeds give unrelated keys.
    rows
        Row numbers, int64, any shape.

    Returns
    -------
    Tensor
        int64 keys, shaped like `rows`.
    """
    start = torch.tensor(random_state, dtype=torch.int64, device=rows.device)
    return _mix(_mix(start) + rows)


def uniform(keys: Tensor, counter: Tensor | int) -> Tensor:
    """Uniform random numbers in (0, 1).

    Parameters
    ----------
    keys
        Keys of the rows, int64.
    counter
        Position in the stream of each row, broadcast against `keys`.

    Returns
    -------
    Tensor
        float64, of the broadcast shape.
    """
    # a tensor, because its product wraps around at 64 bits and that of a Python int does not
    position = torch.as_tensor(counter, device=keys.device) + 1
    bits = _shift_right(_mix(keys + _GOLDEN * position), 11)  # the 53 bits that a float64 holds
    return (bits.double() + 0.5) * 2.0**-53


def normal(keys: Tensor, size: int, *, stream: int = 0) -> Tensor:
    """Standard normal random numbers.

    Parameters
    ----------
    keys
        Keys of the rows, shape (B,), int64.
    size
        Numbers per row.
    stream
        Number of the stream; different streams do not overlap.

    Returns
    -------
    Tensor
        float32, shape (B, size). The first numbers of a row do not depend on `size`.
    """
    counter = torch.arange(size, device=keys.device) + (stream + 1) * _STREAM_LENGTH
    numbers: Tensor = torch.special.ndtri(uniform(keys[:, None], counter)).float()
    return numbers


def _mix(x: Tensor) -> Tensor:
    """The finalizer of SplitMix64."""
    x = (x ^ _shift_right(x, 30)) * -4658895280553007687
    x = (x ^ _shift_right(x, 27)) * -7723592293110705685
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical right shift; the shift of torch keeps the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
