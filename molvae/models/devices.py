"""The device that networks and matrix products run on."""

from __future__ import annotations

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
