"""The device asked for, or one line about why it cannot be had."""

from __future__ import annotations

import pytest
import torch

from molvae.errors import InputError
from molvae.models.devices import find_device


def test_cpu_and_auto(monkeypatch):
    assert find_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["abacus", "", "cuda:99", "cuda:x", "CPU ", "meta", "xla", "vulkan", "hpu", "mtia"])
def test_a_device_that_is_not_there(name):
    """`meta` is there, but nothing can be read from it."""
    with pytest.raises(InputError, match=f"cannot use the device {name!r}: .*; auto takes what there is") as caught:
        find_device(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [RuntimeError(""), AssertionError(), NotImplementedError("\n\nno\nmore"), ImportError()]
)
def test_an_error_of_any_kind_and_length(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch, "zeros", fail)
    with pytest.raises(InputError, match=r"cannot use the device 'cpu': [A-Za-z]"):
        find_device("cpu")
