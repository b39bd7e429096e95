"""The `molvae` command: its commands, and what becomes of their errors."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from molvae.cli import (
    analogs,
    anomaly,
    cluster,
    data,
    decode,
    encode,
    fit,
    index,
    info,
    interpolate,
    reconstruct,
    sample,
    score,
    screen,
    search,
    train,
    traverse,
)
from molvae.cli import fit_prior as prior
from molvae.cli import map as latent_map
from molvae.cli import neighbors as neighbors
from molvae.cli import optimize as optimize
from molvae.errors import InputError, MolvaeError


class Verbs(TyperGroup):
    """Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted; every error is one line on stderr."""

    def invoke(self, ctx: Any) -> Any:
        if not sys.stdout.isatty() and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # data, which is read as that, wherever this runs
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning  # type: ignore[assignment]
                result = super().invoke(ctx)
            sys.stdout.flush()  # a reader that has gone is noticed here rather than at the end of the process
            return result
        except InputError as error:
            code = _failed(error, 2)
        except (MolvaeError, OSError) as error:
            code = _reader_gone() if _broken_pipe(error) else _failed(error, 1)
        except KeyboardInterrupt:
            code = _failed("interrupted", 130)
        raise typer.Exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """A line on stderr; Python's own way would quote the line of code as well."""
    kind = "" if issubclass(category, UserWarning) else f"{category.__name__}: "
    typer.echo(f"molvae: {kind}{message}", err=True)


def _failed(error: object, code: int) -> int:
    typer.echo(f"molvae: {error}", err=True)
    return code


def _broken_pipe(error: Exception) -> bool:
    """Windows says of a pipe without a reader that the argument is invalid."""
    windows = os.name == "nt" and isinstance(error, OSError) and error.errno == errno.EINVAL
    return windows or isinstance(error, BrokenPipeError)


def _reader_gone() -> int:
    """`molvae ... | head` is no failure. Python flushes stdout once more at its end, so give it a place to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the work failed, 2 wrong usage. Data on stdout, everything else on stderr.",
)
for _verb in (analogs.analogs, sample.sample, encode.encode, decode.decode, reconstruct.reconstruct, score.score):
    app.command()(_verb)
app.command()(interpolate.interpolate)
app.command()(traverse.traverse)
app.command("map")(latent_map.latent_map)
app.command()(cluster.cluster)
app.command()(neighbors.neighbors)
app.command()(anomaly.anomaly)
app.command()(optimize.optimize)
app.command()(screen.screen)
app.command()(index.index)
app.command()(search.search)
app.command()(fit.fit)
app.command()(train.train)
app.command()(prior.fit_prior)
app.command()(info.info)
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"molvae {version('molvae')}")
        raise typer.Exit


@app.callback()
def molvae(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """One molecule in, hundreds of valid, distinct, ranked analogs out."""
