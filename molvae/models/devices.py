"""The device that networks and matrix products run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from molvae.errors import InputError


def find_device(name: str) -> torch.device:
    """cpu, cuda, cuda:1 ...; auto is a GPU where there is one. Raises `InputError` for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # which "meta" cannot give
    except (RuntimeError, AssertionError, NotImplementedError, ImportError, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"cannot use the device {name!r}: {reason}; auto takes what there is") from None
    return device


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's own work on a CPU, and afterwards as many as before.

    Threads wait for each other at every layer of a small network: on idle cores two are a fifth quicker than one, on
    busy ones they took thirty times as long, and in a forked process they wait forever.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
