"""The application: the endpoints of version 1 of the API, health, metrics, and the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from molvae.errors import InputError, MolvaeError, one_line
from molvae.serve import molmim, operations
from molvae.serve.answers import answer
from molvae.serve.events import event_response, next_event
from molvae.serve.jobs import Job, TooManyJobs
from molvae.serve.schemas import (
    AnalogsRequest,
    DecodeRequest,
    EncodeRequest,
    ErrorResponse,
    JobResponse,
    OptimizeRequest,
    SampleRequest,
    ScoreRequest,
    SearchRequest,
    TableResponse,
)
from molvae.serve.security import Gate
from molvae.serve.service import Service

STATIC = Path(__file__).parent / "static"
"""The files of the page; `index.html` is the page."""

SECONDS_TO_RETRY = 2
"""Value of Retry-After of a server with too many jobs."""

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": text}
    for status, text in {
        413: "The body is too large.",
        422: "The body or an option is not valid, or beyond a limit of the server.",
        429: "The server has too many jobs in progress; the header Retry-After says when to try again.",
        504: "The time limit of the server was reached.",
    }.items()
}
_JOB_ANSWERS: dict[int | str, dict[str, Any]] = {
    **_ERRORS,
    202: {"model": JobResponse, "description": "With the header `Prefer: respond-async`: the job."},
}


Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Response]])


def create_app(
    service: Service,
    *,
    token: str | None = None,
    hosts: Sequence[str] = (),
    cors_origins: Sequence[str] = (),
    static: Path = STATIC,
) -> FastAPI:
    """The application of a service.

    Parameters
    ----------
    service
        The model and the jobs.
    token
        Token that requests need; None for none.
    hosts
        Host names that requests may be for; empty for all.
    cors_origins
        Origins whose pages may use the API.
    static
        Folder of the page.
    """
    from importlib.metadata import version

    app = FastAPI(
        title="molvae", version=version("molvae"), docs_url=None, redoc_url=None, openapi_url="/openapi.json",
        description="Analogs of molecules at a chosen similarity, samples, latents, scores, library search and "
        "optimization. Add the header `Accept: text/event-stream` for results as they are found, or "
        "`Prefer: respond-async` for a job to fetch later.",
    )  # fmt: skip
    _add_error_handlers(app)
    _add_operations(app, service)
    _add_jobs(app, service)
    _add_state(app, service)
    app.include_router(molmim.router(service), responses=_ERRORS)
    _add_page(app, static)
    app.add_middleware(
        Gate,
        token=token,
        hosts=hosts,
        max_body_bytes=service.limits.max_body_bytes,
        count=service.metrics.count_request,
    )
    if cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(cors_origins), allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Prefer", "Last-Event-ID"],
            expose_headers=["Location", "Retry-After", "X-Job-Id"],
        )  # fmt: skip
    return app


def _add_error_handlers(app: FastAPI) -> None:
    """Every error is JSON with a message."""

    def error(
        status: int, detail: str, errors: Sequence[dict[str, str]] = (), headers: Mapping[str, str] | None = None
    ) -> JSONResponse:
        return JSONResponse({"detail": one_line(detail, 2000), "errors": list(errors)}, status, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def invalid_body(_: Request, exception: RequestValidationError) -> Response:
        errors = [
            {"field": ".".join(map(str, found["loc"])), "message": one_line(str(found["msg"]))}
            for found in exception.errors()[:20]
        ]
        return error(422, "; ".join(f"{found['field']}: {found['message']}" for found in errors), errors)

    @app.exception_handler(TooManyJobs)
    async def too_many_jobs(_: Request, exception: TooManyJobs) -> Response:
        return error(429, str(exception), headers={"Retry-After": str(SECONDS_TO_RETRY)})

    @app.exception_handler(InputError)
    async def invalid_input(_: Request, exception: InputError) -> Response:
        return error(422, str(exception))

    @app.exception_handler(MolvaeError)
    async def failed(_: Request, exception: MolvaeError) -> Response:
        return error(500, str(exception))

    @app.exception_handler(HTTPException)
    async def refused(_: Request, exception: HTTPException) -> Response:
        return error(exception.status_code, str(exception.detail), headers=exception.headers)

    @app.exception_handler(Exception)
    async def crashed(_: Request, exception: Exception) -> Response:
        return error(500, f"internal error: {type(exception).__name__}")


def _add_operations(app: FastAPI, service: Service) -> None:
    """The endpoints that compute."""

    def post(path: str, summary: str) -> Callable[[Endpoint], Endpoint]:
        return app.post(path, summary=summary, response_model=TableResponse, responses=_JOB_ANSWERS, tags=["molecules"])

    @post("/v1/analogs", "Analogs of each seed")
    async def analogs(request: Request, body: AnalogsRequest) -> Response:
        return await answer(service, request, "analogs", operations.analogs(service, body))

    @post("/v1/sample", "Molecules from the prior")
    async def sample(request: Request, body: SampleRequest) -> Response:
        return await answer(service, request, "sample", operations.sample(service, body))

    @post("/v1/encode", "Latents of molecules")
    async def encode(request: Request, body: EncodeRequest) -> Response:
        return await answer(service, request, "encode", operations.encode(service, body))

    @post("/v1/decode", "Molecules of latents")
    async def decode(request: Request, body: DecodeRequest) -> Response:
        return await answer(service, request, "decode", operations.decode(service, body))

    @post("/v1/score", "Properties of molecules, and metrics of the set")
    async def score(request: Request, body: ScoreRequest) -> Response:
        return await answer(service, request, "score", operations.score(service, body))

    @post("/v1/search", "Nearest molecules of a library")
    async def search(request: Request, body: SearchRequest) -> Response:
        return await answer(service, request, "search", operations.search(service, body))

    @post("/v1/optimize", "Molecules near each seed with a better score")
    async def optimize(request: Request, body: OptimizeRequest) -> Response:
        return await answer(service, request, "optimize", operations.optimization(service, body))


def _add_jobs(app: FastAPI, service: Service) -> None:
    """State, events and cancellation of a job."""

    def find(job_id: str) -> Job:
        job = service.jobs.get(job_id)
        if job is None:
            raise HTTPException(404, "there is no such job, or its result is no longer kept")
        return job

    @app.get("/v1/jobs/{job_id}", response_model=JobResponse, tags=["jobs"])
    async def job_state(job_id: str) -> Response:
        """The state of a job, with its result once it has ended."""
        job = find(job_id)
        result = {"result": job.result()} if job.ended and job.status != "failed" else {}
        return JSONResponse({**job.summary(), **result})

    @app.get("/v1/jobs/{job_id}/events", tags=["jobs"], responses={200: {"content": {"text/event-stream": {}}}})
    async def job_events(
        job_id: str,
        last_event_id: Annotated[str | None, Header()] = None,
        cancel_on_disconnect: Annotated[bool, Query()] = False,
    ) -> Response:
        """The events of a job from its start, or after the one with the ID in `Last-Event-ID`."""
        return event_response(service.jobs, find(job_id), next_event(last_event_id), owned=cancel_on_disconnect)

    @app.delete("/v1/jobs/{job_id}", response_model=JobResponse, tags=["jobs"])
    async def cancel_job(job_id: str) -> Response:
        """Cancel a job; its rows so far can still be fetched."""
        job = find(job_id)
        job.cancel()
        await job.wait(1.0)
        return JSONResponse(job.summary())


def _add_state(app: FastAPI, service: Service) -> None:
    """What the server is, and how it is doing."""

    @app.get("/v1/health/live", tags=["state"])
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @app.get("/v1/health/ready", tags=["state"])
    async def ready() -> Response:
        """Whether the server takes jobs; 503 while it is stopping."""
        closing = service.jobs.closing
        return JSONResponse({"status": "stopping" if closing else "ready"}, 503 if closing else 200)

    @app.get("/metrics", tags=["state"])
    async def metrics() -> Response:
        """Counts in the format of Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/info", tags=["state"])
    async def info() -> dict[str, Any]:
        """The model, the libraries and the limits of this server."""
        checkpoint = service.generator.checkpoint
        return {
            "model": checkpoint.name,
            "latent_dim": checkpoint.config.latent_dim,
            "device": service.generator.device.type,
            "libraries": {name: len(library) for name, library in service.libraries.items()},
            "limits": vars(service.limits),
        }


def _add_page(app: FastAPI, static: Path) -> None:
    """The page at /, if there is one, and a list of the endpoints at /docs."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(_endpoints_page(app))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        index = static / "index.html"
        return FileResponse(index, headers={"Cache-Control": "no-cache"}) if index.is_file() else await docs()

    if static.is_dir():
        app.mount("/static", StaticFiles(directory=static), name="static")


def _endpoints_page(app: FastAPI) -> str:
    """A page without scripts: methods, paths and summaries of all endpoints."""
    import jinja2

    rows = [
        (method.upper(), path, operation.get("description") or operation.get("summary", ""))
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]
    return str(jinja2.Template(_ENDPOINTS, autoescape=True).render(rows=rows, title=app.title, version=app.version))


_ENDPOINTS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title></head>
<body><h1>{{ title }} {{ version }}</h1>
<p>The endpoints of this server; <a href="/openapi.json">openapi.json</a> describes their fields, with examples.</p>
<table>{% for method, path, text in rows %}
<tr><td>{{ method }}</td><td><code>{{ path }}</code></td><td>{{ text }}</td></tr>{% endfor %}
</table></body></html>
"""
