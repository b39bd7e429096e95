"""Building networks from stored tensors, and storing tensors in half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from molvae.errors import InputError

Network = TypeVar("Network", bound=torch.nn.Module)


def build_from_state(build: Callable[[], Network], state: dict[str, torch.Tensor]) -> Network:
    """Build a network and load its tensors, without random initialization.

    Shapes are compared before memory is allocated, so a damaged configuration cannot allocate more than the weights
    take. The state of torch's random number generator does not change.

    Parameters
    ----------
    build : callable
        Creates the network.
    state : dict of str to Tensor
        Its state dictionary.

    Raises
    ------
    InputError
        If a tensor is missing, unknown, or has another shape or type, or if a variance is negative.
    """
    with torch.device("meta"), _SkipInitialization():
        expected = build().state_dict()
    for name, tensor in expected.items():
        if name not in state or state[name].shape != tensor.shape:
            found = f"has the shape {tuple(state[name].shape)}" if name in state else "is missing"
            raise InputError(f"tensor {name} {found}, expected {tuple(tensor.shape)}")
        if state[name].dtype != tensor.dtype:
            raise InputError(f"tensor {name} has the type {state[name].dtype}, expected {tensor.dtype}")
        if name.endswith("running_var") and (state[name] < 0).any():
            raise InputError(f"tensor {name} has negative variances")
    if unknown := next((name for name in state if name not in expected), ""):
        raise InputError(f"tensor {unknown[:100]!r} is not part of the network")
    with _SkipInitialization():
        network = build()
    network.load_state_dict(state)
    return network


class _SkipInitialization(TorchFunctionMode):
    """Skips random initialization of weights that are loaded afterwards.

    It would use up the caller's random numbers, and on the meta device it makes torch import its compiler, which takes
    a second.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        random = getattr(func, "__name__", "") in ("normal_", "uniform_")
        if random or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else keywords["tensor"]
        return func(*args, **keywords)


def half_precision_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """State dictionary on the CPU with floating point tensors in half precision, as it is stored."""
    return {name: _to_half(tensor) for name, tensor in module.state_dict().items()}


def _to_half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().half().contiguous() if tensor.is_floating_point() else tensor.detach().cpu()
