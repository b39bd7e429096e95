"""How an endpoint answers with the result of a job: at once, as a stream of events, or later."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from molvae.serve.events import event_response
from molvae.serve.jobs import Job
from molvae.serve.operations import Work
from molvae.serve.service import Service

_SECONDS_TO_CHECK = 0.5  # a request that waits looks this often whether its connection has been closed


async def answer(service: Service, request: Request, kind: str, work: Work) -> Response:
    """Start a job, and answer as the request asks.

    With the header `Prefer: respond-async` the answer is the job, with status 202. With `Accept: text/event-stream` it
    is the events of the job, which is cancelled when the connection is closed. Otherwise it is the result.
    """
    if "respond-async" in request.headers.get("prefer", ""):
        job = service.jobs.submit(kind, work)
        return JSONResponse(job.summary(), 202, {"Location": f"/v1/jobs/{job.id}"})
    if "text/event-stream" in request.headers.get("accept", ""):
        return event_response(service.jobs, service.jobs.submit(kind, work), owned=True)
    return JSONResponse(await finished(service, request, kind, work))


async def finished(service: Service, request: Request, kind: str, work: Work) -> dict[str, Any]:
    """The result of a job, which is cancelled if the connection is closed before its end.

    Raises
    ------
    HTTPException
        If the job failed.
    """
    job = service.jobs.submit(kind, work)
    try:
        while not await job.wait(_SECONDS_TO_CHECK):
            if await request.is_disconnected():
                raise HTTPException(499, "the connection was closed")
    finally:
        job.cancel()
        service.jobs.forget(job)
    raise_for_status(job)
    return job.result()


def raise_for_status(job: Job) -> None:
    """Raise `HTTPException` for a job that failed or was cancelled."""
    if job.status == "cancelled":
        raise HTTPException(503, "the job was cancelled, because the server is stopping")
    if job.status == "failed":
        raise HTTPException(job.error_status, job.error)
