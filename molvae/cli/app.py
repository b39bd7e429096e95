"""The `molvae` command: its subcommands, and how errors become messages and exit codes."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from molvae.cli import (
    analogs,
    data,
    explain,
    explore,
    fit,
    fit_prior,
    info,
    latents,
    library,
    optimize,
    precedence,
    routes,
    sample,
    score,
    screen,
    serve,
    sign,
    stock,
    train,
    usage,
)
from molvae.errors import InputError, MolvaeError, one_line

EXIT_CODES = "Exit codes: 0 success, 1 failure, 2 usage error, 130 interrupted, 143 ended by SIGTERM."


MAX_MESSAGE = 1_000
"""Characters of an error message on stderr."""


class CommandGroup(TyperGroup):
    """A group of commands that reports each error as one line on stderr and sets the exit code."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the options before the command; a usage error is printed as one line."""
        try:
            return super().make_context(*args, **kwargs)
        except usage.UsageError as error:
            if not error.format_message().strip() or type(error).__name__ == "NoArgsIsHelpError":
                raise
            sys.exit(_fail(usage.usage_message(error), 2))

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error is printed as one line and raises `typer.Exit` with its code."""
        if not sys.stdout.isatty() and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # piped data is UTF-8 on every platform
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning  # type: ignore[assignment]
                result = super().invoke(ctx)
            sys.stdout.flush()  # raises BrokenPipeError here instead of at interpreter exit
            return result
        except usage.UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                raise
            code = _fail(usage.usage_message(error), 2)
        except InputError as error:
            code = _fail(error, 2)
        except (MolvaeError, OSError) as error:
            code = _closed_pipe() if _is_broken_pipe(error) else _fail(_explained(error), 1)
        except KeyboardInterrupt:
            code = _fail("interrupted", 130)
        except MemoryError:
            code = _fail("out of memory: ask for fewer molecules at a time, or use a machine with more memory", 1)
        raise typer.Exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """Print a warning as one line on stderr, without Python's quotation of the source code."""
    kind = "" if issubclass(category, UserWarning) else f"{category.__name__}: "
    typer.echo(f"molvae: {kind}{message}", err=True)


def _fail(error: object, code: int) -> int:
    typer.echo(f"molvae: {one_line(str(error), MAX_MESSAGE)}", err=True)
    return code


def _is_broken_pipe(error: Exception) -> bool:
    """Whether the reader of stdout has closed it; Windows reports this as an invalid argument."""
    windows = os.name == "nt" and isinstance(error, OSError) and error.errno == errno.EINVAL
    return windows or isinstance(error, BrokenPipeError)


def _closed_pipe() -> int:
    """`molvae ... | head` is not a failure; a command that ended because the reader of stderr has closed it is one."""
    code = int(not _reader_has_closed(sys.stdout))
    _discard_stdout()
    return code


def _reader_has_closed(stream: TextIO) -> bool:
    """Whether the pipe that a stream writes to has no reader; True where this cannot be found out."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # reports errors only
        return bool(poll.poll(0))
    except (AttributeError, OSError, ValueError):  # Windows has no poll
        return True


def _discard_stdout() -> None:
    """Redirect stdout to the null device: Python flushes it again at exit, which would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explained(error: Exception) -> object:
    """The message of an error; an error of the operating system names the file and the reason, without its number."""
    if isinstance(error, MolvaeError) or not isinstance(error, OSError) or error.strerror is None:
        return error
    if error.errno == errno.ENOSPC and error.filename is None:
        _discard_stdout()
        return "cannot write to standard output: no space left on the device"
    return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{EXIT_CODES} Data goes to stdout, messages and progress to stderr.",
)
COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Generate": {
        "analogs": analogs.analogs,
        "sample": sample.sample,
        "optimize": optimize.optimize,
        "encode": latents.encode,
        "decode": latents.decode,
        "reconstruct": latents.reconstruct,
    },
    "Score": {"score": score.score, "explain": explain.explain, "fit": fit.fit},
    "Explore the latent space": {
        "interpolate": explore.interpolate,
        "traverse": explore.traverse,
        "map": explore.latent_map,
        "cluster": explore.cluster,
        "neighbors": explore.neighbors,
        "anomaly": explore.anomaly,
    },
    "Plan syntheses": {"routes": routes.routes},
    "Screen libraries": {"screen": screen.screen, "index": library.index, "search": library.search},
    "Serve": {"serve": serve.serve},
    "Train and inspect models": {
        "train": train.train,
        "fit-prior": fit_prior.fit_prior,
        "info": info.info,
        "sign": sign.sign,
    },
}
for _panel, _commands in COMMANDS.items():
    for _name, _function in _commands.items():
        app.command(_name, rich_help_panel=_panel, cls=usage.Command)(_function)
app.add_typer(precedence.app, name="precedence", rich_help_panel="Score")
app.add_typer(stock.app, name="stock", rich_help_panel="Plan syntheses")
app.add_typer(data.app, name="data", rich_help_panel="Train and inspect models")


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"molvae {version('molvae')}")
        raise typer.Exit


@app.callback()
def molvae(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Generate analogs of molecules, score sets of molecules, and screen libraries."""
