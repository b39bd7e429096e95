"""The state of a server: the model, the libraries, the jobs and the counts for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from molvae.errors import InputError, did_you_mean, import_extra
from molvae.generator import Generator
from molvae.library.indexed_library import IndexedLibrary, open_library
from molvae.serve.jobs import Job, JobStore
from molvae.serve.limits import Limits
from molvae.serve.pool import TurnPool
from molvae.serve.shared_engine import SharedEngine


class Service:
    """Everything that the endpoints share.

    Parameters
    ----------
    generator
        The model; from now on its decoder is for all threads (`SharedEngine`).
    libraries
        Libraries by the name that requests use.
    limits
        Limits of the requests.
    workers
        Worker processes for the molecules of `analogs` and `sample`; 0 for none.
    stock
        Building blocks of the routes of `makeable` and `by_synthesis`; default as for `molvae.analogs`.
    """

    def __init__(
        self,
        generator: Generator,
        libraries: Mapping[str, IndexedLibrary] | None = None,
        limits: Limits | None = None,
        workers: int = 0,
        stock: str | None = None,
    ) -> None:
        self.generator, self.libraries, self.limits = generator, dict(libraries or {}), limits or Limits()
        self.stock = stock
        self.engine = SharedEngine(generator.codec)
        self.pool = TurnPool(workers)
        self.metrics = Metrics(self)
        self.jobs = JobStore(self.limits, self.metrics.count_job)

    def library(self, name: str | None) -> IndexedLibrary:
        """A library by name; None for the only one. Raises `InputError` if there is none."""
        if not self.libraries:
            raise InputError("this server has no library: start it with --library LIB.molvae")
        if name is None:
            if len(self.libraries) > 1:
                raise InputError(f"library must be one of {', '.join(self.libraries)}")
            return next(iter(self.libraries.values()))
        if name not in self.libraries:
            hint = did_you_mean(name, self.libraries)
            raise InputError(f"there is no library {name!r}{hint}; this server has {', '.join(self.libraries)}")
        return self.libraries[name]

    def close(self, seconds: float = 2.0) -> tuple[int, int]:
        """Finish or cancel the jobs, and end the decoder; how many jobs finished, and were cancelled."""
        counts = self.jobs.close(seconds)
        self.engine.close()
        return counts


def open_libraries(folders: Sequence[str | Path], device: str = "auto") -> dict[str, IndexedLibrary]:
    """Libraries by the name of their folder without its suffix. Raises `InputError` for two of the same name."""
    libraries = dict[str, IndexedLibrary]()
    for folder in folders:
        name = Path(folder).resolve().stem
        if name in libraries:
            raise InputError(f"two libraries are called {name!r}: rename one of the folders")
        libraries[name] = open_library(folder, device=device)
    return libraries


class Metrics:
    """Counts in the format of Prometheus, in a registry of their own."""

    def __init__(self, service: Service) -> None:
        prometheus: Any = import_extra("prometheus_client", "serve")
        self._prometheus, self.registry = prometheus, prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "molvae_requests", "Answered requests.", ["path", "status"], registry=self.registry
        )
        self._jobs = prometheus.Counter("molvae_jobs", "Jobs that ended.", ["kind", "status"], registry=self.registry)
        self._seconds = prometheus.Histogram(
            "molvae_job_seconds", "Time of a job from its request to its end.", ["kind"], registry=self.registry,
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
        )  # fmt: skip
        active = prometheus.Gauge("molvae_jobs_active", "Jobs in progress.", registry=self.registry)
        active.set_function(lambda: len(service.jobs.active))
        samples = prometheus.Gauge("molvae_samples_decoded", "Samples decoded since the start.", registry=self.registry)
        samples.set_function(lambda: service.engine.n_decoded)

    def count_request(self, path: str, status: int) -> None:
        """Count an answered request; `path` is the pattern of its route, never the path itself."""
        self._requests.labels(path, str(status)).inc()

    def count_job(self, job: Job) -> None:
        """Count a job that has ended."""
        self._jobs.labels(job.kind, job.status).inc()
        self._seconds.labels(job.kind).observe(max(0.0, job.finished - job.created))

    def text(self) -> bytes:
        """All counts as text."""
        content: bytes = self._prometheus.generate_latest(self.registry)
        return content
