"""Presets: named combinations of the options of `Generator.analogs`."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from molvae.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from molvae.generation.options import AnalogOptions

PRESETS: dict[str, dict[str, Any]] = {
    "close": {"similarity": "0.65:1", "alerts": ("pains", "brenk", "nih")},
    # without a pool, whose most similar molecules would be returned
    "explore": {"similarity": "0.35:0.65", "alerts": ("pains", "brenk"), "pool_size": 1},
    "scaffold-hop": {"similarity": "0.3:0.65", "change_scaffold": True, "alerts": ("pains", "brenk")},
}
"""Options of each preset; all presets keep the defaults that exclude implausible molecules and isomers."""


def preset(name: str) -> dict[str, Any]:
    """The options of a preset. Raises `InputError` for an unknown name."""
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}{did_you_mean(name, PRESETS)}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def with_preset(options: AnalogOptions) -> AnalogOptions:
    """The options with those of their preset, if they have one, where they are left at their defaults.

    Raises `InputError` for an unknown preset.

    >>> from molvae.generation.options import AnalogOptions
    >>> with_preset(AnalogOptions(preset="close", similarity="0.8:1")).similarity
    '0.8:1'
    """
    if options.preset is None:
        return options
    defaults = {field.name: field.default for field in fields(options)}
    changes = {key: value for key, value in preset(options.preset).items() if getattr(options, key) == defaults[key]}
    if options.noise_level is not None:
        changes.pop("similarity", None)
    return replace(options, **changes)
