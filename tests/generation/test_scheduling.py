"""Jobs that take turns: results in order, however long each takes, and never more under way than asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molvae.generation.scheduling import finish, take_turns


def job(name, waits, log):
    for turn in range(waits):
        log.append((name, turn))
        yield
    return name


@given(waits=st.lists(st.integers(0, 5), max_size=8), at_once=st.integers(1, 4))
def test_results_come_in_order_and_few_are_under_way(waits, at_once):
    log, begun = [], []

    def jobs():
        for name, count in enumerate(waits):
            begun.append(name)
            yield job(name, count, log)

    delivered = []
    for name in take_turns(jobs(), at_once):
        delivered.append(name)
        assert len(begun) <= len(delivered) + at_once
    assert delivered == list(range(len(waits)))
    assert sorted(log) == [(name, turn) for name, count in enumerate(waits) for turn in range(count)]


def test_two_jobs_take_turns():
    log = []
    assert list(take_turns([job("a", 2, log), job("b", 2, log)], 2)) == ["a", "b"]
    assert log == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_a_result_waits_for_no_other_job_and_the_next_begins_at_once():
    log, begun = [], []

    def jobs():
        for name in "abcd":
            begun.append(name)
            yield job(name, 2, log)

    turns = take_turns(jobs(), 3)
    assert next(turns) == "a"
    assert ("b", 1) in log
    assert ("c", 1) in log
    assert len(begun) == 3
    assert next(turns) == "b"
    assert ("d", 0) in log


@pytest.mark.parametrize("ended", ["by an error", "because nobody asks for more"])
def test_what_is_under_way_is_closed_at_the_end(ended):
    closed = []

    def waiting(name):
        try:
            yield
            yield
            if ended == "by an error":
                raise ValueError(name)
        finally:
            closed.append(name)

    turns = take_turns(map(waiting, "abc"), 2)
    if ended == "by an error":
        with pytest.raises(ValueError, match="a"):
            next(turns)
    else:
        next(turns)
        turns.close()
    assert closed == ["a", "b"]


def test_one_after_the_other():
    log = []
    assert list(take_turns([job("a", 2, log), job("b", 1, log)], 1)) == ["a", "b"]
    assert log == [("a", 0), ("a", 1), ("b", 0)]


def test_a_job_on_its_own():
    assert finish(job("a", 3, [])) == "a"
    assert finish(job("a", 0, [])) == "a"


def test_an_error_in_a_job_is_the_callers():
    def fails():
        yield
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(take_turns([fails()], 2))
