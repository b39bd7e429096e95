"""The options of decoding, as the Python methods take them."""

from __future__ import annotations

from molvae.errors import InputError


def temperature_of(temperature: float | None, greedy: bool) -> float | None:
    """What `--temperature` and `--greedy` ask for; None where they say nothing. Raises `InputError`."""
    if greedy and temperature:
        raise InputError(f"--greedy is temperature 0, but --temperature is {temperature:g}: give one of them")
    return 0.0 if greedy else temperature
