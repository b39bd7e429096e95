"""Jobs: events in order, cancellation, fairness, and how many there may be."""

from __future__ import annotations

import json
import threading
import time

import httpx
import pytest

from molvae.serve.jobs import Job, JobStore, Part, TooManyJobs
from molvae.serve.limits import Limits
from molvae.serve.turns import JobCancelled, TimeLimitReached, Turns, current_turn

pytestmark = pytest.mark.filterwarnings("ignore::molvae.errors.MolvaeWarning")

LONG = {"seeds": ["CCCO"], "objective": "qed", "max_samples": 500_000}
"""An optimization that takes minutes."""

STREAM = {"Accept": "text/event-stream"}
LATER = {"Prefer": "respond-async"}


def events(lines):
    """Pairs of name and data, and the numbers, of a stream of server-sent events."""
    found, number, name = [], None, None
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "id":
            number = int(value)
        elif field == "event":
            name = value
        elif field == "data":
            found.append((number, name, json.loads(value)))
    return found


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def start_long(http):
    answer = http.post("/v1/optimize", json=LONG, headers=LATER)
    assert answer.status_code == 202
    return answer.json()["id"]


def status(http, job_id):
    return http.get(f"/v1/jobs/{job_id}").json()["status"]


def test_events_are_in_order(http):
    body = {"seeds": ["CCCO", "Cc1ccccc1", "C1CC"], "n": 5, "similarity": "0:1"}
    with http.stream("POST", "/v1/analogs", json=body, headers=STREAM) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer.iter_lines())
    numbers, names, data = zip(*found, strict=True)
    assert list(numbers) == list(range(len(found)))
    assert names[0] == "start"
    assert names[-1] == "end"
    assert names.count("end") == 1
    assert data[-1]["status"] == "done"
    first_found, first_rows = names.index("found"), names.index("rows")
    assert first_found < first_rows
    parts = [part for _, name, part in found if name == "rows"]
    plain = http.post("/v1/analogs", json=body).json()
    assert [row for part in parts for row in part["rows"]] == plain["rows"]
    assert [seed for part in parts for seed in part["seeds"]] == plain["seeds"]
    molecules = {m["smiles"] for _, name, part in found if name == "found" for m in part["molecules"]}
    assert {row["smiles"] for row in plain["rows"]} <= molecules


def test_job_is_fetched_later(http):
    answer = http.post("/v1/encode", json={"smiles": ["CCO", "C1CC"]}, headers=LATER)
    assert answer.status_code == 202
    path = answer.headers["location"]
    wait_until(lambda: http.get(path).json()["status"] == "done")
    job = http.get(path).json()
    assert [bool(row["error"]) for row in job["result"]["rows"]] == [False, True]
    stream = events(http.get(f"{path}/events").iter_lines())
    rest = events(http.get(f"{path}/events", headers={"Last-Event-ID": "1"}).iter_lines())
    assert rest == stream[2:]
    assert http.get("/v1/jobs/nothing").status_code == 404
    assert http.delete("/v1/jobs/nothing").status_code == 404


def test_best_score_is_streamed(http):
    body = {"seeds": ["CCCO"], "objective": "mw", "max_samples": 300}
    with http.stream("POST", "/v1/optimize", json=body, headers=STREAM) as answer:
        found = events(answer.iter_lines())
    best = [data["score"] for _, name, data in found if name == "best"]
    assert best == sorted(set(best))
    (rows,) = (data["rows"] for _, name, data in found if name == "rows")
    assert rows[0]["score"] == best[-1]


def test_cancel(http, service):
    job_id = start_long(http)
    wait_until(lambda: status(http, job_id) == "running")
    http.delete(f"/v1/jobs/{job_id}")
    wait_until(lambda: status(http, job_id) == "cancelled")
    assert events(http.get(f"/v1/jobs/{job_id}/events").iter_lines())[-1][2]["status"] == "cancelled"
    assert not service.jobs.active


def test_closed_stream_cancels(address, service):
    with httpx.Client(base_url=address) as http, http.stream("POST", "/v1/optimize", json=LONG, headers=STREAM):
        assert len(service.jobs.active) == 1
    wait_until(lambda: not service.jobs.active)


def test_closed_request_cancels(address, service):
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{address}/v1/optimize", json=LONG, timeout=0.7)
    wait_until(lambda: not service.jobs.active)


def test_closed_events_cancel_only_if_asked(http, service):
    job_id = start_long(http)
    job = service.jobs.get(job_id)
    for asked in (False, True):
        with http.stream("GET", f"/v1/jobs/{job_id}/events?cancel_on_disconnect={asked}") as answer:
            lines = answer.iter_lines()  # the connection is closed when this is deleted
            next(lines)
            assert job.status == "running"
            assert service.jobs.get(job_id) is job
        if asked:
            wait_until(lambda: not service.jobs.active)
        else:
            time.sleep(0.5)
            assert status(http, job_id) == "running"


def test_second_user_does_not_wait_for_the_first(http):
    body = {"seeds": ["CCCO"], "n": 5, "similarity": "0:1"}
    alone = http.post("/v1/analogs", json=body).json()["rows"]
    long_jobs = [start_long(http) for _ in range(3)]
    wait_until(lambda: all(status(http, job) == "running" for job in long_jobs))
    with http.stream("POST", "/v1/analogs", json=body, headers=STREAM) as answer:
        found = events(answer.iter_lines())
    assert all(status(http, job) == "running" for job in long_jobs)
    assert [row for _, name, part in found if name == "rows" for row in part["rows"]] == alone
    for job in long_jobs:
        assert http.delete(f"/v1/jobs/{job}").json()["n_rows"] == 0


def test_users_share_the_decoder_with_the_same_molecules(http, tiny):
    seeds = ["CCCO", "Cc1ccccc1", "CCN", "c1ccncc1", "CC(C)O", "CCCC"]
    answers = {}

    def ask(seed):
        body = {"seeds": [seed], "n": 6, "similarity": "0:1", "random_state": 4}
        answers[seed] = httpx.post(f"{http.base_url}/v1/analogs".replace("//v1", "/v1"), json=body, timeout=60).json()

    threads = [threading.Thread(target=ask, args=[seed]) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in seeds:
        local = tiny.analogs([seed], n=6, similarity="0:1", random_state=4, workers=0)
        assert [row["smiles"] for row in answers[seed]["rows"]] == local["smiles"].tolist()


def test_too_many_jobs(start):
    with start(Limits(max_jobs=2)) as http:
        jobs = [start_long(http) for _ in range(2)]
        answer = http.post("/v1/encode", json={"smiles": ["CCO"]})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert "2 jobs" in answer.json()["detail"]
        http.delete(f"/v1/jobs/{jobs[0]}")
        wait_until(lambda: http.post("/v1/encode", json={"smiles": ["CCO"]}).status_code == 200)


def test_time_limit(start):
    with start(Limits(max_seconds=1.0)) as http:
        result = http.post("/v1/optimize", json=LONG).json()
        assert "time limit of 1 s" in result["incomplete"]
        assert result["rows"]
        analogs = {"seeds": ["CCCO", "CCN"], "n": 3000, "max_samples": 200_000, "similarity": "0.9:0.95"}
        assert "time limit of 1 s" in http.post("/v1/analogs", json=analogs).json()["incomplete"]
        assert http.post("/v1/encode", json={"smiles": ["CCO"]}).status_code == 200


def run_job(work, seconds=10.0):
    job = Job("test", work, Turns(), seconds)
    job.start(lambda _: None)
    wait_until(lambda: job.ended)
    return job


def test_failure_is_reported(capsys):
    def work(_):
        yield Part([{"a": 1}])
        raise ZeroDivisionError("secret")

    job = run_job(work)
    assert (job.status, job.error, job.error_status) == ("failed", "internal error: ZeroDivisionError", 500)
    assert job.n_rows == 1
    assert "ZeroDivisionError: secret" in capsys.readouterr().err


def test_failure_of_one_job_leaves_the_others(http, service, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(service.generator.codec, "encode", fail)
        answer = http.post("/v1/encode", json={"smiles": ["CCO"]})
    assert answer.status_code == 500
    assert answer.json()["detail"] == "internal error: RuntimeError"
    assert "broken" in capsys.readouterr().err
    assert http.post("/v1/encode", json={"smiles": ["CCO"]}).status_code == 200


def test_failure_of_the_decoder_leaves_the_others(http, service, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(service.engine, "_condition", lambda *_: 1 / 0)
        assert http.post("/v1/sample", json={"n": 2}).status_code == 500
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert http.post("/v1/sample", json={"n": 2}).status_code == 200


def test_turn_goes_to_the_job_that_has_computed_least():
    turns, order = Turns(), []

    def compute(name, n):
        with turns.join() as turn:
            turn.answered = True
            for _ in range(n):
                end = time.monotonic() + 0.03
                while time.monotonic() < end:
                    pass
                order.append(name)
                turn.pause()

    long = threading.Thread(target=compute, args=["long", 30])
    long.start()
    wait_until(lambda: len(order) > 5)
    short = threading.Thread(target=compute, args=["short", 5])
    short.start()
    short.join()
    long.join()
    last = max(position for position, name in enumerate(order) if name == "short")
    assert order.index("short") <= 12
    assert order[last:].count("long") > 8
    assert current_turn.get() is None


def test_jobs_without_an_answer_are_first_in_their_order():
    turns, order, release = Turns(), [], threading.Event()

    def compute(turn, name):
        with turn:
            order.append(name)

    def hold():
        with turns.join():
            order.append("held")
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    wait_until(lambda: order)
    joined = {name: turns.join() for name in ("answered", "first", "second")}
    joined["answered"].answered = True
    threads = [threading.Thread(target=compute, args=[joined[name], name]) for name in ("answered", "second", "first")]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(turns._waiting) == 3)
    release.set()
    for thread in [holder, *threads]:
        thread.join()
    assert order == ["held", "first", "second", "answered"]


def test_turn_is_cancelled_and_limited():
    with Turns().join(0.0) as turn:
        time.sleep(0.01)
        with pytest.raises(TimeLimitReached):
            turn.check()
        turn.check()  # only once, so that a search can return what it has
        turn.cancel()
        with pytest.raises(JobCancelled):
            turn.pause()


def test_results_are_forgotten():
    store = JobStore(Limits(keep_rows=250, keep_seconds=100))
    jobs = []
    for _ in range(4):
        jobs.append(store.submit("test", lambda _: iter([Part([{}] * 10)])))
        wait_until(lambda: jobs[-1].ended)
    assert [store.get(job.id) for job in jobs] == [None, None, *jobs[2:]]
    assert store.close(1) == (0, 0)
    with pytest.raises(TooManyJobs, match="stopping"):
        store.submit("test", lambda _: iter([]))
