"""Routes: the steps of a synthesis from building blocks to a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

KEPT, OPEN = "kept", "open"
"""Stereo of a step: the reaction makes the product with its configuration, or leaves the new stereocenters open."""


@dataclass(frozen=True)
class RouteStep:
    """A reaction of a route, verified: its forward template makes the product from the reactants.

    Attributes
    ----------
    reaction, reaction_class : str
        Name and class of the reaction.
    product : str
        Canonical SMILES.
    reactants : tuple of str
        Canonical SMILES.
    stereo : str
        "kept": the reaction makes the product with its stereo; "open": it makes a mixture of stereoisomers, of which
        the product is one.
    n_products : int
        Number of different products that the forward template makes of the reactants; more than 1 if there are
        several places to react, so that selectivity is in question.
    cost : float
        Cost of the reaction.
    """

    reaction: str
    reaction_class: str
    product: str
    reactants: tuple[str, ...]
    stereo: str = KEPT
    n_products: int = 1
    cost: float = 1.0

    def __str__(self) -> str:
        return f"{self.reaction}: {'.'.join(self.reactants)}>>{self.product}"


@dataclass(frozen=True)
class Route:
    """A route to a target.

    Attributes
    ----------
    target : str
        Canonical SMILES.
    steps : tuple of RouteStep
        In the order of the synthesis: the last step makes the target. Empty if the target is a building block.
    cost : float
        Sum of the costs of the steps and of the building blocks.
    """

    target: str
    steps: tuple[RouteStep, ...]
    cost: float

    @property
    def n_steps(self) -> int:
        """Number of reactions, those of all branches."""
        return len(self.steps)

    @property
    def n_linear_steps(self) -> int:
        """Number of reactions in the longest branch."""
        depth = dict[str, int]()
        for step in self.steps:
            depth[step.product] = 1 + max(depth.get(reactant, 0) for reactant in step.reactants)
        return depth.get(self.target, 0)

    @property
    def building_blocks(self) -> tuple[str, ...]:
        """Canonical SMILES of what is not made in the route, each once."""
        made = {step.product for step in self.steps}
        blocks = [reactant for step in self.steps for reactant in step.reactants if reactant not in made]
        return tuple(dict.fromkeys(blocks)) if self.steps else (self.target,)

    @property
    def stereo(self) -> str:
        """ "kept" if all steps control the stereo that they make, otherwise "open"."""
        return OPEN if any(step.stereo == OPEN for step in self.steps) else KEPT

    def __str__(self) -> str:
        """The steps as text, separated by semicolons."""
        return "; ".join(map(str, self.steps))

    def to_dict(self) -> dict[str, Any]:
        """The route as plain data for JSON."""
        return {
            "target": self.target,
            "n_steps": self.n_steps,
            "cost": round(self.cost, 3),
            "stereo": self.stereo,
            "building_blocks": list(self.building_blocks),
            "steps": [
                {
                    "reaction": step.reaction, "class": step.reaction_class, "reactants": list(step.reactants),
                    "product": step.product, "stereo": step.stereo, "n_products": step.n_products,
                }
                for step in self.steps
            ],
        }  # fmt: skip
