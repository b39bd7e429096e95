"""The events of a job as a stream of server-sent events [1]_.

.. [1] https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

from molvae.serve.jobs import Event, Job, JobStore

SECONDS_BETWEEN_COMMENTS = 10.0
"""After this time without an event a comment is sent, so that no proxy ends the stream, and a closed one is noticed."""


def event_response(store: JobStore, job: Job, first: int = 0, *, owned: bool = False) -> StreamingResponse:
    """The events of a job from number `first` on.

    If the stream is the only use of the job (`owned`), the job is cancelled when the stream is closed, and forgotten at
    its end.
    """
    headers = {"X-Accel-Buffering": "no", "X-Job-Id": job.id}
    return StreamingResponse(_stream(store, job, first, owned), media_type="text/event-stream", headers=headers)


async def _stream(store: JobStore, job: Job, first: int, owned: bool) -> AsyncIterator[str]:
    position = first
    try:
        with job.changes() as changed:
            while True:
                changed.clear()
                ended = job.ended  # before the events are read: the last one is added together with it
                while position < len(job.events):
                    yield format_event(position, job.events[position])
                    position += 1
                if ended:
                    return
                try:
                    await asyncio.wait_for(changed.wait(), SECONDS_BETWEEN_COMMENTS)
                except TimeoutError:
                    yield ": waiting\n\n"
    finally:
        if owned:
            job.cancel()
            store.forget(job)


def format_event(number: int, event: Event) -> str:
    """One event, whose ID is its number, and whose data is one line of JSON.

    >>> format_event(3, Event("progress", {"done": 5}))
    'id: 3\\nevent: progress\\ndata: {"done": 5}\\n\\n'
    """
    return f"id: {number}\nevent: {event.name}\ndata: {json.dumps(event.data, allow_nan=False)}\n\n"


def next_event(last_event_id: str | None) -> int:
    """The number of the first event to send, after the ID of the last one that a client has received.

    >>> next_event("3"), next_event(None), next_event("x")
    (4, 0, 0)
    """
    return int(last_event_id) + 1 if last_event_id and last_event_id.isdecimal() and len(last_event_id) < 10 else 0
