"""`molvae serve`: the REST service (`molvae.serve`)."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from molvae.cli import checks, options
from molvae.cli.loading import load_model

LIMITS = "Limits"


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on. Any other than the loopback address needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 chooses a free one.")] = 8000,
    library: Annotated[
        list[Path],
        typer.Option(show_default=False, help="Folder written by `molvae index`, for searches; repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    token: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Token that requests need in the header Authorization: Bearer TOKEN. The environment variable "
            "MOLVAE_TOKEN keeps it out of the list of processes.",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str],
        typer.Option(
            show_default=False, help="Origin whose web pages may use the API, such as https://lab.example; repeatable."
        ),
    ] = [],  # noqa: B006
    max_rows: Annotated[
        int, typer.Option(min=1, rich_help_panel=LIMITS, help="Molecules, seeds or latents in a request.")
    ] = 1000,
    max_molecules: Annotated[
        int, typer.Option(min=1, rich_help_panel=LIMITS, help="Molecules that a request may ask for.")
    ] = 10_000,
    max_seconds: Annotated[
        float, typer.Option(min=0.1, rich_help_panel=LIMITS, help="Time of a request; searches return what they have.")
    ] = 300.0,
    max_jobs: Annotated[
        int, typer.Option(min=1, rich_help_panel=LIMITS, help="Requests in progress; more get status 429.")
    ] = 64,
    max_body_mb: Annotated[
        float, typer.Option(min=0.001, rich_help_panel=LIMITS, help="Size of a request in megabytes.")
    ] = 8.0,
    stock: options.StockFile = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=1024,
            rich_help_panel=options.MODEL,
            help="Worker processes that parse molecules; a crash of RDKit then costs one molecule. 0: none.",
        ),
    ] = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
) -> None:
    """Serve the functions of molvae over HTTP: one process that holds the model, for several users.

    JSON under /v1 (the list of endpoints is at /docs), the endpoints of the MolMIM service, Prometheus metrics at
    /metrics. SIGTERM and Ctrl+C finish or cancel the requests in progress. In Python: `molvae.client.Client`.
    """
    from molvae.errors import InputError, MolvaeWarning, import_extra

    for name in ("fastapi", "uvicorn", "prometheus_client"):
        import_extra(name, "serve")
    for folder in library:
        with checks.naming("--library"):
            checks.check_search(folder, [])
            if not (folder / checks.LIBRARY_FILES[0]).is_file():
                raise InputError(f"there is no library in {folder}: give a folder written by `molvae index`")
    checks.check_stock(stock)
    from molvae.serve.access import check_access

    token = token if token is not None else os.environ.pop("MOLVAE_TOKEN", None) or None
    check_access(host, token)
    from molvae.serve.limits import Limits
    from molvae.serve.server import say
    from molvae.serve.server import serve as run
    from molvae.serve.service import Service, open_libraries

    say(f"loading the model {model}")
    limits = replace(
        Limits(), max_rows=max_rows, max_molecules=max_molecules, max_seconds=max_seconds, max_jobs=max_jobs,
        max_body_bytes=int(1e6 * max_body_mb),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MolvaeWarning)  # the responses have the same information
        service = Service(load_model(model, device), open_libraries(library, device), limits, workers, stock)
        run(service, host, port, token=token, cors_origins=cors_origin)
