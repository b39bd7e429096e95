"""What is wanted of every seed of a run: the options of `analogs`, read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from molvae.chem.expressions import Window
from molvae.chem.properties import PROPERTIES
from molvae.data.bloom_filter import BloomFilter
from molvae.data.rows import each
from molvae.errors import InputError
from molvae.generation.analogs import Draws
from molvae.generation.constraints import Steering
from molvae.generation.options import AnalogOptions, Order, read_order
from molvae.generation.similarity_target import NEAREST, Dial
from molvae.generation.token_sampling import DecodeOptions


@dataclass(frozen=True)
class Asked:
    """How strings are drawn, which molecules are let pass, in which order they come, with which figures."""

    draws: Draws
    steering: Steering
    order: Order
    properties: tuple[str, ...]  # to be computed of every molecule
    standardize: bool
    refine: bool

    @classmethod
    def of(cls, n: int, options: AnalogOptions, *, temperature: float, seen: BloomFilter | None) -> Self:
        """`n` molecules of each seed; `temperature`: the model's default, `seen`: what it was trained on, if known.

        Raises `InputError` for an option that cannot be used.
        """
        order, steering, draws = read_order(options), _steering(options, seen), _draws(n, options, temperature)
        if order.diverse > n:
            raise InputError(f"{order.diverse} diverse ones cannot be picked out of {n}: ask for thrice as many")
        return cls(
            draws,
            steering,
            order,
            tuple(name for name in order.columns(steering) if name in PROPERTIES),
            options.get("standardize", False),
            options.get("refine", True),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table."""
        return self.order.columns(self.steering)

    def abroad(self) -> Self | None:
        """The same for another process: the user's own scores stay here, and all where a wish is about one of them."""
        if self.steering.own_windows:
            return None
        return replace(self, order=Order(), steering=replace(self.steering, scores={}))


def _draws(n: int, options: AnalogOptions, temperature: float) -> Draws:
    noise_level, similarity = options.get("noise_level"), options.get("similarity")
    if noise_level is not None and similarity is not None:
        raise InputError("noise level and similarity exclude each other: a similarity finds its own noise level")
    asked = options.get("temperature")
    return Draws(
        wanted=n,
        noise_level=noise_level or 0.0,
        dial=Dial.of(similarity) if similarity is not None else NEAREST if noise_level is None else None,
        samples_per_latent=options.get("samples_per_latent", 1),
        max_samples=options.get("max_samples", 0),
        options=DecodeOptions(
            temperature if asked is None else asked,
            options.get("top_k", 0),
            options.get("top_p", 1.0),
            options.get("grammar", False),
        ),
        seed=options.get("seed", 0),
    )


def _steering(options: AnalogOptions, seen: BloomFilter | None) -> Steering:
    scores, keep = options.get("scores") or {}, each(options.get("keep"))
    if options.get("exclude_training_set", False) and seen is None:
        raise InputError("this model has no record of what it was trained on: no exclude_training_set")
    windows = tuple(Window.of(text, ("similarity", *scores)) for text in keep)
    if any(window.name == "similarity" for window in windows):
        raise InputError('similarity is no property to keep: ask for similarity="0.4:1" (--similarity 0.4:1)')
    return Steering(
        windows=windows,
        contains=each(options.get("contains")),
        without=each(options.get("without")),
        core=options.get("core"),
        scaffold=options.get("keep_scaffold", False),
        exclude_stereoisomers=options.get("exclude_stereoisomers", False),
        exclude=tuple(name.upper() for name in each(options.get("exclude"))),
        seen=seen.contains if seen is not None and options.get("exclude_training_set", False) else None,
        scores=scores,
    )
