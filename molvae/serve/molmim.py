"""The endpoints of NVIDIA's MolMIM service [1]_, with its names and ranges, so that its clients run unchanged.

The latents are those of the model of this server: one vector per molecule, so that `hiddens` have one row and a mask
with one element. `scaled_radius` from 0 to 2 is the noise level from 0 to 1.

.. [1] https://docs.nvidia.com/bionemo/molmim
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi import Request as HTTPRequest
from numpy.typing import NDArray
from pydantic import Field
from rdkit import Chem
from starlette.exceptions import HTTPException

from molvae.chem.properties import compute_properties
from molvae.serve import operations
from molvae.serve.answers import finished
from molvae.serve.schemas import (
    ASPIRIN,
    AnalogsRequest,
    DecodeRequest,
    EncodeRequest,
    OptimizeRequest,
    Request,
    StrategyRequest,
    _example,
)
from molvae.serve.service import Service

Radius = Annotated[float, Field(ge=0, le=2)]
MAX_RADIUS = 2.0


class SequencesRequest(Request):
    """Molecules to encode."""

    model_config = _example(sequences=[ASPIRIN])

    sequences: Annotated[list[str], Field(min_length=1)]


class HiddensRequest(Request):
    """Latents as `/hidden` returns them."""

    hiddens: Annotated[list[list[list[float]]], Field(min_length=1)]
    mask: list[list[bool]]


class SamplingRequest(Request):
    """Molecules around others."""

    model_config = _example(sequences=[ASPIRIN], beam_size=1, num_molecules=5, scaled_radius=1.0)

    sequences: Annotated[list[str], Field(min_length=1)]
    beam_size: Annotated[int, Field(ge=1, le=10)] = 1
    num_molecules: Annotated[int, Field(ge=1, le=10)] = 1
    scaled_radius: Radius = 0.7


class GenerateRequest(Request):
    """Molecules around one, with the best values of a property."""

    model_config = _example(
        smi=ASPIRIN, algorithm="CMA-ES", num_molecules=10, property_name="QED", min_similarity=0.3, iterations=10
    )

    smi: str
    algorithm: Literal["CMA-ES", "none"] = "CMA-ES"
    num_molecules: Annotated[int, Field(ge=1, le=100)] = 10
    iterations: Annotated[int, Field(ge=1, le=1000)] = 10
    particles: Annotated[int, Field(ge=2, le=1000)] = 30
    property_name: Literal["QED", "plogP"] = "QED"
    minimize: bool = False
    min_similarity: Annotated[float, Field(ge=0, le=0.7)] = 0.7
    scaled_radius: Radius = 1.0


def router(service: Service) -> APIRouter:
    """The endpoints."""
    routes = APIRouter(tags=["MolMIM"])

    async def latents(request: HTTPRequest, sequences: list[str]) -> list[list[float]]:
        result = await finished(
            service, request, "embedding", operations.encode(service, EncodeRequest(smiles=sequences))
        )
        for position, row in enumerate(result["rows"]):
            if row["error"]:
                raise HTTPException(422, f"sequences[{position}]: {row['error']}")
        return [row["latent"] for row in result["rows"]]

    @routes.post("/embedding")
    async def embedding(request: HTTPRequest, body: SequencesRequest) -> dict[str, Any]:
        """Latents of molecules."""
        return {"embeddings": await latents(request, body.sequences)}

    @routes.post("/hidden")
    async def hidden(request: HTTPRequest, body: SequencesRequest) -> dict[str, Any]:
        """Latents of molecules, with their mask."""
        found = await latents(request, body.sequences)
        return {"hiddens": [[latent] for latent in found], "mask": [[True]] * len(found)}

    @routes.post("/decode")
    async def decode(request: HTTPRequest, body: HiddensRequest) -> dict[str, Any]:
        """Molecules of latents; "" for a latent that gives none."""
        if len(body.mask) != len(body.hiddens) or not _have_one_row(body.hiddens) or not _have_one_row(body.mask):
            raise HTTPException(422, "hiddens and mask must have one row per molecule, each with one element")
        latents = DecodeRequest(latents=[list(rows[0]) for rows in body.hiddens])
        result = await finished(service, request, "decode", operations.decode(service, latents))
        for position, row in enumerate(result["rows"]):
            if "numbers, got" in row["error"]:
                raise HTTPException(422, f"hiddens[{position}]: {row['error']}")
        return {"generated": [row["smiles"] for row in result["rows"]]}

    @routes.post("/sampling")
    async def sampling(request: HTTPRequest, body: SamplingRequest) -> dict[str, Any]:
        """Molecules around each of the given ones. `beam_size` has no effect: samples are drawn independently."""
        options = AnalogsRequest(
            seeds=body.sequences, n=body.num_molecules, noise_level=body.scaled_radius / MAX_RADIUS, properties=[]
        )
        result = await finished(service, request, "sampling", operations.analogs(service, options))
        return {"generated": _by_seed(result)}

    @routes.post("/generate")
    async def generate(request: HTTPRequest, body: GenerateRequest) -> dict[str, Any]:
        """Molecules with the best values of a property within a similarity, or with "none" just similar ones."""
        if body.algorithm == "none":
            level = body.scaled_radius / MAX_RADIUS
            options = AnalogsRequest(seeds=[body.smi], n=body.num_molecules, noise_level=level, properties=[])
            result = await finished(service, request, "generate", operations.analogs(service, options))
            return {"generated": _by_seed(result)[0]}
        work = operations.optimization(
            service, _optimization(service, body), _objective(body.property_name, body.minimize)
        )
        result = await finished(service, request, "generate", work)
        _by_seed(result)
        best = result["rows"][: body.num_molecules]
        sign = -1 if body.minimize else 1
        return {"generated": [row["smiles"] for row in best], "scores": [sign * row["score"] for row in best]}

    return routes


def _have_one_row(matrices: Sequence[Sequence[object]]) -> bool:
    return all(len(rows) == 1 for rows in matrices)


def _by_seed(result: dict[str, Any]) -> list[list[str]]:
    """The molecules of each seed. Raises `HTTPException` for an invalid seed, which this service has no field for."""
    rows, found = iter(result["rows"]), list[list[str]]()
    for position, seed in enumerate(result.get("seeds", [])):
        if seed["error"]:
            raise HTTPException(422, f"molecule {position + 1}: {seed['error']}")
        found.append([next(rows)["smiles"] for _ in range(seed["n_rows"])])
    return found


def _optimization(service: Service, body: GenerateRequest) -> OptimizeRequest:
    """One run of CMA-ES with as many samples as there are particles in all iterations, at most those of the limit."""
    particles = max(4, body.particles)
    return OptimizeRequest(
        seeds=[body.smi],
        filters=[f"similarity>={body.min_similarity:g}"] if body.min_similarity else [],
        max_samples=min(particles * body.iterations, service.limits.max_samples),
        strategy=StrategyRequest(
            population_size=particles,
            n_generations=body.iterations,
            noise_level=max(0.01, body.scaled_radius / MAX_RADIUS),
        ),
    )


def _objective(property_name: str, minimize: bool) -> Any:
    """The function of a list of SMILES that is maximized."""
    value = penalized_logp if property_name == "plogP" else _qed
    sign = -1.0 if minimize else 1.0

    def objective(smiles: list[str]) -> NDArray[np.float64]:
        return sign * value([Chem.MolFromSmiles(text) for text in smiles])

    return objective


def _qed(mols: list[Chem.Mol]) -> NDArray[np.float64]:
    return np.asarray(compute_properties(mols, ["qed"])["qed"], np.float64)


def penalized_logp(mols: list[Chem.Mol]) -> NDArray[np.float64]:
    """Penalized logP [1]_, not normalized: logP - SA score - atoms beyond six of the largest ring.

    References
    ----------
    .. [1] Gómez-Bombarelli et al., "Automatic chemical design using a data-driven continuous representation of
       molecules", ACS Cent. Sci. 2018, 4, 268.

    Examples
    --------
    >>> penalized_logp([Chem.MolFromSmiles("CCCCCC"), Chem.MolFromSmiles("C1CCCCCCC1")]).round(2)
    array([ 1.59, -0.36])
    """
    values = compute_properties(mols, ["logp", "sa"])
    largest = np.array([max(map(len, mol.GetRingInfo().AtomRings()), default=0) for mol in mols], np.float64)
    return np.asarray(values["logp"] - values["sa"] - np.maximum(0, largest - 6), np.float64)
