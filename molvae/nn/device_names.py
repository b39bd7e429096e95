"""Names of devices, checked without torch, so that a wrong name is reported at once."""

from __future__ import annotations

import re

from molvae.errors import InputError, did_you_mean

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
_SUGGESTED = ("auto", "cpu", "cuda")
_INDEXED = re.compile(r"(?:cuda|xpu):\d{1,3}")


def check_device_name(name: object) -> str:
    """Return the name of a device. Raises `InputError` if no device can have it.

    >>> check_device_name("cuda:1")
    'cuda:1'
    """
    if not isinstance(name, str):
        raise InputError(f"device must be text such as 'cpu', 'cuda' or 'auto', got {name!r}")
    if name in DEVICES or _INDEXED.fullmatch(name):
        return name
    hint = did_you_mean("cuda" if name.lower() in ("gpu", "nvidia") else name, _SUGGESTED)
    raise InputError(
        f"cannot use the device {name!r}: no device has this name{hint}; use auto, cpu, cuda, or cuda:1 ... for "
        "one of several GPUs"
    )
