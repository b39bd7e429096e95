"""A client of `molvae serve`: the functions of `molvae`, computed by a server (extra `serve`).

>>> from molvae.client import Client
>>> client = Client("http://127.0.0.1:8000")  # doctest: +SKIP
>>> table = client.analogs("CC(=O)Oc1ccccc1C(=O)O", n=20, similarity="0.4:0.8")  # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.errors import InputError, MolvaeError, import_extra, one_line, warn

ANALOG_PROPERTIES = ("qed", "sa", "logp", "mw", "open_stereocenters")
"""Property columns of analogs that are computed by default."""

MAX_TRIES = 5
"""Attempts of a request while the server has too many jobs in progress."""


class ServerError(MolvaeError):
    """The server cannot be reached, or did not answer with a result.

    Attributes
    ----------
    status : int or None
        Status of HTTP; None if there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """A server that computes what the functions of `molvae` would.

    The methods have the arguments of these functions, except those that name files, functions of the caller or devices,
    and return the same tables. Molecules are SMILES: one, an iterable of them, or a DataFrame with a column `smiles`.
    Ctrl+C cancels the request on the server.

    Parameters
    ----------
    url : str
        Address of the server.
    token : str, optional
        Token of the server. Default: the environment variable MOLVAE_TOKEN.
    timeout : float
        Seconds without an answer after which a request fails; a result may take as long as the server allows.

    Examples
    --------
    >>> from molvae.client import Client
    >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
    ...     client.encode(["CCO"]).filter(regex="^z").shape
    (1, 128)
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", token: str | None = None, *, timeout: float = 600.0) -> None:
        self._httpx: Any = import_extra("httpx", "serve")
        token = token if token is not None else os.environ.get("MOLVAE_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url.rstrip("/")
        try:
            self._http = self._httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)
        except (self._httpx.InvalidURL, ValueError) as error:
            raise InputError(f"the address {url!r} or the token cannot be used: {error}") from None

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def info(self) -> dict[str, Any]:
        """The model, the libraries and the limits of the server."""
        return self._request("GET", "/v1/info")

    def analogs(
        self,
        seeds: str | Iterable[str],
        n: int = 100,
        *,
        preset: str | None = None,
        pool_size: int = 0,
        similarity: str | float | tuple[float, float] | None = None,
        noise_level: float | None = None,
        samples_per_latent: int = 1,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        max_samples: int = 0,
        filters: str | Sequence[str] = (),
        include_smarts: str | Sequence[str] = (),
        exclude_smarts: str | Sequence[str] = (),
        core: str | None = None,
        keep_scaffold: bool = False,
        change_scaffold: bool = False,
        allow_unprecedented: bool = False,
        allow_isomers: bool = False,
        any_stereo: bool = False,
        alerts: str | Sequence[str] = (),
        exclude_training_set: bool = False,
        makeable: bool = False,
        by_synthesis: bool = False,
        project: bool = False,
        max_steps: int = 4,
        rank_by: str | None = None,
        n_diverse: int = 0,
        properties: str | Sequence[str] = ANALOG_PROPERTIES,
        optimize_latents: bool = True,
        standardize: bool = False,
        keep_salts: bool = False,
        random_state: int = 0,
    ) -> pd.DataFrame:
        """Analogs of each seed, as `molvae.analogs`; `attrs` as there."""
        body = _body(locals())
        return _seeds_table(self._request("POST", "/v1/analogs", {**body, "seeds": _smiles(seeds)}))

    def stream_analogs(self, seeds: str | Iterable[str], n: int = 100, **options: Any) -> Iterator[tuple[str, Any]]:
        """The events of a request for analogs, as they arrive.

        Parameters
        ----------
        seeds, n, **options
            As in `analogs`.

        Yields
        ------
        tuple of str and dict
            Name and data of an event, as in the documentation of `molvae serve`: "found" has the molecules of the
            search so far, "rows" the final ones of some seeds, and "end" the state of the job.
        """
        body = {**_body(options), "seeds": _smiles(seeds), "n": n}
        try:
            with self._http.stream("POST", "/v1/analogs", json=body, headers={"Accept": "text/event-stream"}) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _error(answer)
                name = ""
                for line in answer.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        yield name, json.loads(value)
        except self._httpx.HTTPError as error:
            raise ServerError(f"{self.url} does not answer: {error}") from None

    def sample(
        self,
        n: int = 100,
        *,
        prior: str = "auto",
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        max_samples: int = 0,
        random_state: int = 0,
    ) -> pd.DataFrame:
        """Molecules from the prior, as `molvae.sample`."""
        answer = self._request("POST", "/v1/sample", _body(locals()))
        frame = pd.DataFrame(answer["rows"])
        frame.attrs = {
            "errors": {}, "notes": {}, "statistics": [answer["statistics"]], "summary": [answer["summary"]],
        }  # fmt: skip
        return frame

    def encode(
        self,
        smiles: str | Iterable[str],
        *,
        standardize: bool = False,
        keep_salts: bool = False,
        optimize_latents: bool = False,
    ) -> pd.DataFrame:
        """Latents of molecules, one row per input row, as `molvae.encode`."""
        body = _body(locals())
        rows = self._request("POST", "/v1/encode", {**body, "smiles": _smiles(smiles)})["rows"]
        size = next((len(row["latent"]) for row in rows if row["latent"]), None)
        size = self.info()["latent_dim"] if size is None else size
        latents = [row["latent"] or [np.nan] * size for row in rows]
        columns = pd.DataFrame(np.array(latents, np.float32).reshape(-1, size)).add_prefix("z")
        texts = pd.DataFrame({name: [row[name] for row in rows] for name in ("smiles", "error", "note")}, dtype=object)
        return _with_index_of(pd.concat([texts, columns], axis=1), smiles)

    def decode(
        self,
        latents: NDArray[Any] | pd.DataFrame,
        *,
        noise_level: float | Sequence[float] | NDArray[Any] = 0.0,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        random_state: int | Sequence[int] | NDArray[Any] = 0,
        branch_from: Sequence[str] | None = None,
        inversion_steps: int = 0,
    ) -> pd.DataFrame:
        """Molecules of latents, one row per latent, as `molvae.decode`."""
        body = _body(locals())
        z = latents.filter(regex=r"^z\d+$").to_numpy() if isinstance(latents, pd.DataFrame) else latents
        rows = np.atleast_2d(np.asarray(z, np.float64)).tolist()
        content = [[value if np.isfinite(value) else None for value in row] for row in rows]
        frame = pd.DataFrame(self._request("POST", "/v1/decode", {**body, "latents": content})["rows"])
        frame["log_likelihood"] = frame["log_likelihood"].astype(float)
        return _with_index_of(frame, latents)

    def score(
        self,
        smiles: str | Iterable[str],
        *,
        seeds: str | Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
        random_state: int = 0,
        standardize: bool = False,
        keep_salts: bool = False,
    ) -> pd.DataFrame:
        """Properties of molecules, one row per input row, as `molvae.score(...).molecules`.

        `attrs` has the `counts`, `metrics` and `notes` of the set, and with `seeds` the rows of `per_seed`.
        """
        body = _body(locals())
        body["smiles"], body["seeds"] = _smiles(smiles), None if seeds is None else _smiles(seeds)
        answer = self._request("POST", "/v1/score", body)
        frame = pd.DataFrame(answer["rows"])
        frame.attrs.update({name: value for name, value in answer.items() if name != "rows"})
        return _with_index_of(frame, smiles)

    def search(
        self,
        seeds: str | Iterable[str],
        *,
        library: str | None = None,
        rank_by: str = "both",
        metric: str = "cosine",
        nprobe: int = 0,
        top: int = 100,
        filters: str | Sequence[str] = (),
        include_smarts: str | Sequence[str] = (),
        exclude_smarts: str | Sequence[str] = (),
        core: str | None = None,
        standardize: bool | None = None,
        keep_salts: bool | None = None,
    ) -> pd.DataFrame:
        """Nearest molecules of a library of the server, as `IndexedLibrary.search`; `library` is its name."""
        body = _body(locals())
        return _seeds_table(self._request("POST", "/v1/search", {**body, "seeds": _smiles(seeds)}))

    def optimize(
        self,
        seeds: str | Iterable[str],
        objective: str = "qed",
        *,
        filters: str | Sequence[str] = (),
        allow_unprecedented: bool = False,
        target: float | None = None,
        max_samples: int = 5000,
        strategy: Mapping[str, Any] | None = None,
        random_state: int = 0,
        keep_salts: bool = False,
    ) -> pd.DataFrame:
        """Molecules near each seed with a better score, as `molvae.explore.optimize`.

        `strategy` has the fields of `SearchStrategy`.
        """
        body = _body(locals())
        return _seeds_table(self._request("POST", "/v1/optimize", {**body, "seeds": _smiles(seeds)}))

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON of an answer. Raises `InputError` for a request that is not valid, else `ServerError`."""
        for attempt in range(MAX_TRIES):
            try:
                answer = self._http.request(method, path, json=body)
            except self._httpx.HTTPError as error:
                raise ServerError(f"{self.url} does not answer: {error or type(error).__name__}") from None
            except ValueError as error:  # numbers that JSON does not have
                raise InputError(f"the arguments cannot be sent: {error}") from None
            if answer.status_code != 429 or attempt == MAX_TRIES - 1:
                break
            time.sleep(min(30.0, float(answer.headers.get("Retry-After", "1"))))
        if answer.status_code != 200:
            raise _error(answer)
        try:
            content: dict[str, Any] = answer.json()
        except ValueError:
            raise ServerError(f"{self.url} is not a server of molvae: it did not answer with JSON") from None
        if content.get("incomplete"):
            warn(f"{path}: the result is incomplete: {content['incomplete']}")
        return content


def _error(answer: Any) -> MolvaeError:
    """The error of an answer, with the message of the server."""
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = one_line(answer.text, 200) or answer.reason_phrase
    if answer.status_code == 422:
        return InputError(detail)
    return ServerError(f"{detail} (status {answer.status_code})", answer.status_code)


def _body(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a method as JSON."""
    molecules = ("self", "seeds", "smiles", "latents")
    return {name: _plain(value) for name, value in arguments.items() if name not in molecules}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _smiles(molecules: Any) -> list[str]:
    """Molecules as a list of SMILES. Raises `InputError` for another type."""
    if isinstance(molecules, str):
        return [molecules]
    if isinstance(molecules, pd.DataFrame):
        if "smiles" not in molecules.columns:
            raise InputError(f"the table has no column smiles: it has {', '.join(map(str, molecules.columns))}")
        molecules = molecules["smiles"]
    if not isinstance(molecules, Iterable):
        raise InputError(f"molecules must be a SMILES or a list of them, got {type(molecules).__name__}")
    return [text if isinstance(text, str) else "" for text in molecules]


def _seeds_table(answer: dict[str, Any]) -> pd.DataFrame:
    """The rows, with errors, notes and statistics of the seeds as the local function has them."""
    frame, seeds = pd.DataFrame(answer["rows"]), answer["seeds"]
    errors = {seed["seed"]: seed["error"] for seed in seeds if seed["error"]}
    notes = {seed["seed"]: seed["note"] for seed in seeds if seed["note"]}
    frame.attrs = {
        "errors": errors,
        "notes": notes,
        "statistics": [seed["statistics"] for seed in seeds if "statistics" in seed],
        "summary": [seed["summary"] for seed in seeds if "summary" in seed],
    }
    for message in [*errors.values(), *(f"SMILES {seed}: {note}" for seed, note in notes.items())]:
        warn(message)
    return frame


def _with_index_of(frame: pd.DataFrame, rows: object) -> pd.DataFrame:
    if isinstance(rows, pd.DataFrame | pd.Series):
        frame.index = rows.index.copy()
    return frame
