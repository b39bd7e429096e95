"""The bodies of requests, with the names and defaults of the Python functions, and examples for OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from molvae.errors import MAX_COUNT
from molvae.generation.options import ANALOG_PROPERTIES

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_as_list)]
"""Texts; a single one is a list of one. A SMILES is never the name of a file."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_COUNT)]
RandomState = Annotated[int, Field(ge=0, le=2**63 - 1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Request(BaseModel):
    """A body of a request; a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid")

    def options(self, *without: str) -> dict[str, Any]:
        """The fields as arguments of the Python function, except those `without`."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in without}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [fields]})


class AnalogsRequest(Request):
    """As `molvae.analogs`."""

    model_config = _example(seeds=[ASPIRIN], n=20, similarity="0.4:0.8", filters=["mw<400"], random_state=0)

    seeds: Texts
    n: PositiveCount = 100
    preset: str | None = None
    pool_size: Count = 0
    similarity: float | tuple[float, float] | str | None = None
    noise_level: Fraction | None = None
    samples_per_latent: PositiveCount = 1
    temperature: Temperature | None = None
    top_k: Count = 0
    top_p: Fraction = 1.0
    grammar: bool = False
    max_samples: Count = 0
    filters: Texts = []
    include_smarts: Texts = []
    exclude_smarts: Texts = []
    core: str | None = None
    keep_scaffold: bool = False
    change_scaffold: bool = False
    allow_unprecedented: bool = False
    allow_isomers: bool = False
    any_stereo: bool = False
    alerts: Texts = []
    exclude_training_set: bool = False
    makeable: bool = False
    by_synthesis: bool = False
    project: bool = False
    max_steps: Annotated[int, Field(ge=1, le=10)] = 4
    rank_by: str | None = None
    n_diverse: Count = 0
    properties: Texts = list(ANALOG_PROPERTIES)
    optimize_latents: bool = True
    standardize: bool = False
    keep_salts: bool = False
    random_state: RandomState = 0


class SampleRequest(Request):
    """As `molvae.sample`."""

    model_config = _example(n=10, random_state=0)

    n: PositiveCount = 100
    prior: Literal["auto", "unit", "learned"] = "auto"
    temperature: Temperature | None = None
    top_k: Count = 0
    top_p: Fraction = 1.0
    grammar: bool = False
    max_samples: Count = 0
    random_state: RandomState = 0


class EncodeRequest(Request):
    """As `molvae.encode`."""

    model_config = _example(smiles=[ASPIRIN, "CCO"])

    smiles: Texts
    standardize: bool = False
    keep_salts: bool = False
    optimize_latents: bool = False


class DecodeRequest(Request):
    """As `molvae.decode`; the latents are those of `/v1/encode`, null for a molecule that could not be encoded."""

    model_config = _example(latents=[[0.0] * 128], temperature=0.0)

    latents: list[list[float | None] | None]
    noise_level: Fraction | list[Fraction] = 0.0
    temperature: Temperature = 0.0
    top_k: Count = 0
    top_p: Fraction = 1.0
    grammar: bool = False
    random_state: RandomState | list[RandomState] = 0
    branch_from: list[str] | None = None
    inversion_steps: Annotated[int, Field(ge=0, le=100)] = 0


class ScoreRequest(Request):
    """As `molvae.score`, without reference sets and functions of the caller."""

    model_config = _example(smiles=[ASPIRIN, "CCO", "C1CC"], columns=["mw", "qed", "sa", "plausible"])

    smiles: Texts
    seeds: Texts | None = None
    columns: Texts | None = None
    random_state: RandomState = 0
    standardize: bool = False
    keep_salts: bool = False


class SearchRequest(Request):
    """As `IndexedLibrary.search`; `library` is the name of a library of the server, which `GET /v1/libraries` lists."""

    model_config = _example(seeds=[ASPIRIN], rank_by="tanimoto", top=10)

    seeds: Texts
    library: str | None = None
    rank_by: Literal["both", "tanimoto", "latent"] = "both"
    metric: Literal["cosine", "l2"] = "cosine"
    nprobe: Count = 0
    top: PositiveCount = 100
    filters: Texts = []
    include_smarts: Texts = []
    exclude_smarts: Texts = []
    core: str | None = None
    standardize: bool | None = None
    keep_salts: bool | None = None


class StrategyRequest(Request):
    """As `molvae.explore.latent_search.SearchStrategy`."""

    population_size: Annotated[int, Field(ge=4, le=10_000)] = 64
    samples_per_latent: Annotated[int, Field(ge=1, le=1000)] = 1
    n_generations: PositiveCount = 1
    noise_level: Annotated[float, Field(gt=0, le=1)] = 0.5
    temperature: Temperature = 1.0
    similarity_weight: Annotated[float, Field(allow_inf_nan=False)] = 0.3
    branch_fraction: Fraction = 0.5
    branch_noise_level: Fraction = 0.2


class OptimizeRequest(Request):
    """As `molvae.explore.optimize`; the objective is a property or a weighted sum of properties."""

    model_config = _example(seeds=[ASPIRIN], objective="qed", filters=["similarity>=0.4"], max_samples=500)

    seeds: Texts
    objective: str = "qed"
    filters: Texts = []
    allow_unprecedented: bool = False
    target: Annotated[float, Field(allow_inf_nan=False)] | None = None
    max_samples: PositiveCount = 5000
    strategy: StrategyRequest | None = None
    random_state: RandomState = 0
    keep_salts: bool = False


class TableResponse(BaseModel):
    """A table: its rows, the seeds in the order of the request if there are any, and further fields."""

    model_config = ConfigDict(extra="allow")

    rows: list[dict[str, Any]] = Field(description="One object per row, with the columns of the Python function.")
    incomplete: str = Field("", description="Why the result is incomplete, such as the time limit; empty if it is not.")


class JobResponse(BaseModel):
    """The state of a job, and its result once it has ended."""

    model_config = ConfigDict(extra="allow")

    id: str
    kind: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    error: str = ""
    incomplete: str = ""
    n_rows: int
    progress: dict[str, Any]
    seconds: float
    result: TableResponse | None = None


class ErrorResponse(BaseModel):
    """Why a request was refused or failed."""

    detail: str
    errors: list[dict[str, str]] = Field([], description="For a body that is not valid: the fields and what is wrong.")
