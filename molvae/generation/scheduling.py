"""Jobs that take turns: while one waits for its workers, another decodes.

A job is a generator: it yields when there is nothing for it to do but wait, and returns its result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Generic, TypeVar

Result = TypeVar("Result")
Job = Generator[None, None, Result]


def finish(job: Job[Result]) -> Result:
    """The result of one job on its own."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            result: Result = end.value
            return result


def take_turns(jobs: Iterable[Job[Result]], at_once: int = 2) -> Iterator[Result]:
    """The results in the order of the jobs, each as soon as it is there; `at_once` of them are under way.

    When this ends, be it by an error or because nobody asks for more, the jobs under way are closed.
    """
    waiting: Iterator[Job[Result]] = iter(jobs)
    running: deque[_Running[Result]] = deque()
    try:
        while True:
            while len(running) < at_once and (job := next(waiting, None)) is not None:
                running.append(_Running(job))
                running[-1].advance()
            if not running:
                return
            for one in running:
                if running[0].results:
                    break
                one.advance()
            if running[0].results:
                yield running.popleft().results[0]
    finally:
        for one in running:
            one.job.close()


class Tally:
    """Adds up what several jobs report of themselves."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self.progress, self.found = progress, list[int]()

    def part(self) -> Callable[[int], None] | None:
        """What one job reports to."""
        if (progress := self.progress) is None:
            return None
        place = len(self.found)
        self.found.append(0)

        def report(done: int) -> None:
            self.found[place] = done
            progress(sum(self.found))

        return report


class _Running(Generic[Result]):
    def __init__(self, job: Job[Result]) -> None:
        self.job = job
        self.results: list[Result] = []  # one, once it is there

    def advance(self) -> None:
        if not self.results:
            try:
                next(self.job)
            except StopIteration as end:
                self.results.append(end.value)
