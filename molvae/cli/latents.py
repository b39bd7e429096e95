"""`molvae encode`, `decode` and `reconstruct`: molecules to latents and back."""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molvae.cli import checks, options
from molvae.cli.loading import load_model, temperature_option
from molvae.cli.outputs import table_output
from molvae.cli.row_commands import finish, map_rows
from molvae.errors import InputError, import_extra
from molvae.viz.progress import no_progress, progress_bar

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LATENT_FORMATS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".xlsx", ".parquet")


def encode(
    molecules: options.Molecules,
    optimize_latents: options.OptimizeLatents = False,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
) -> None:
    """Encode molecules as latent vectors, one output row per input row.

    Columns: smiles, name (for files), error, note, z0, z1 ..., and the input's further columns. In Python:
    `molvae.encode`.
    """
    from molvae.cli.inputs import InputRows, changed_summary
    from molvae.io.formats import output_format

    if output is None and sys.stdout.isatty():
        raise InputError("latents are too wide for a terminal: give -o FILE (.csv or .parquet), or use a pipe")
    if output is not None and output_format(output) not in LATENT_FORMATS:
        raise InputError(f"latents are written to {', '.join(LATENT_FORMATS)}, got {output}")
    n_rows = n_valid = n_changed = 0
    checks.check_inputs(molecules, column, name_column)
    with table_output(output, molecules) as write:
        generator = load_model(model, device)
        encode_chunk = partial(
            generator.encode, standardize=standardize, keep_salts=keep_salts, optimize_latents=optimize_latents,
            progress=no_progress,
        )  # fmt: skip
        for frame in map_rows(InputRows(molecules, column, name_column), encode_chunk):
            n_rows, n_valid = n_rows + len(frame), n_valid + int((frame["error"] == "").sum())
            n_changed += int((frame["note"] != "").sum())
            write(frame)
    counts = f"{n_valid:,} encoded, {n_rows - n_valid:,} invalid{changed_summary(n_changed)}"
    finish(n_rows, n_valid, f"{n_rows:,} rows: {counts}")


def decode(
    latents: Annotated[
        str,
        typer.Argument(
            show_default=False,
            help="Table with columns z0, z1 ... (.csv .tsv .xlsx .parquet), array (.npy), or - for CSV.",
        ),
    ],
    temperature: options.Temperature = None,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    grammar: options.Grammar = False,
    greedy: options.Greedy = False,
    inversion_steps: options.InversionSteps = 0,
    random_seed: options.RandomSeed = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
) -> None:
    """Decode latent vectors to molecules, one output row per input row; greedy unless a temperature is given.

    Columns: smiles, log_likelihood, error; with --inversion-steps also distance, between the given latent and that of
    the decoded molecule. In Python: `molvae.decode`.
    """
    chosen_temperature = temperature_option(temperature, greedy) or 0.0
    table = read_latents(latents)
    with table_output(output, [latents]) as write:
        generator = load_model(model, device)
        with progress_bar(len(table), "latents") as advance:
            frame = generator.decode(
                table, temperature=chosen_temperature, top_k=top_k, top_p=top_p, grammar=grammar,
                inversion_steps=inversion_steps, random_state=random_seed, progress=advance,
            )  # fmt: skip
        frame = _with_further_columns(frame, table)
        n_valid = int((frame["error"] == "").sum())
        typer.echo(f"{len(frame):,} latents: {n_valid:,} molecules, {len(frame) - n_valid:,} invalid", err=True)
        write(frame)
    if len(frame) and not n_valid:
        raise typer.Exit(1)


def reconstruct(
    molecules: options.Molecules,
    optimize_latents: options.OptimizeLatents = False,
    inversion_steps: options.InversionSteps = 0,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
) -> None:
    """Encode molecules and decode them greedily, one output row per input row.

    Columns: smiles, name (for files), reconstruction, exact, error, note, and the input's further columns. In Python:
    `molvae.reconstruct`.
    """
    from molvae.cli.inputs import InputRows, changed_summary

    n_rows = n_invalid = n_exact = n_errors = n_changed = 0
    checks.check_inputs(molecules, column, name_column)
    with table_output(output, molecules) as write:
        generator = load_model(model, device)
        reconstruct_chunk = partial(
            generator.reconstruct,
            standardize=standardize,
            keep_salts=keep_salts,
            optimize_latents=optimize_latents,
            inversion_steps=inversion_steps,
            progress=no_progress,
        )
        for frame in map_rows(InputRows(molecules, column, name_column), reconstruct_chunk):
            n_rows, n_invalid = n_rows + len(frame), n_invalid + frame.attrs["n_invalid"]
            n_exact, n_errors = n_exact + int(frame["exact"].sum()), n_errors + int((frame["error"] != "").sum())
            n_changed += int((frame["note"] != "").sum())
            write(frame)
    counts = (
        f"{n_exact:,} exact, {n_rows - n_exact - n_errors:,} another molecule, "
        f"{n_errors - n_invalid:,} no valid molecule, {n_invalid:,} invalid input{changed_summary(n_changed)}"
    )
    finish(n_rows, n_rows - n_invalid, f"{n_rows:,} rows: {counts}")


def _with_further_columns(frame: pd.DataFrame, latents: pd.DataFrame | NDArray[Any]) -> pd.DataFrame:
    """The table of decoded molecules with the columns of the input that are not latents, such as the names."""
    from molvae.data.carried_columns import RESERVED, free_name

    own = {*map(str, frame.columns), *RESERVED}
    for name in getattr(latents, "columns", ()):
        if not re.fullmatch(r"z\d+", str(name)) and str(name) not in ("smiles", "error"):
            frame[free_name(str(name), own)] = latents[name].to_numpy()
            own.add(free_name(str(name), own))
    return frame


def read_latents(source: str) -> pd.DataFrame | NDArray[Any]:
    """The table or array in a file, or the CSV on standard input. Raises `InputError`."""
    import numpy as np
    import pandas as pd

    from molvae.io.formats import output_format

    suffix = output_format(source)
    try:
        if source == "-":
            return pd.read_csv(sys.stdin)
        if suffix in (".csv", ".csv.gz"):
            return pd.read_csv(source)
        if suffix in (".tsv", ".tsv.gz"):
            return pd.read_csv(source, sep="\t")
        if suffix == ".xlsx":
            import_extra("openpyxl", "formats")
            return pd.read_excel(source)
        if suffix == ".parquet":
            return pd.read_parquet(source)
        if suffix == ".npy":
            array: NDArray[Any] = np.load(source, allow_pickle=False)
            return array
    except FileNotFoundError:
        raise InputError(f"{source} does not exist: check the spelling and the current directory") from None
    except (OSError, ValueError, EOFError) as error:  # the errors of pandas and pyarrow are ValueErrors
        raise InputError(f"cannot read latents from {source}: {error}") from None
    raise InputError(f"{source} has an unknown format: latents are .csv, .tsv, .xlsx, .parquet or .npy, or - for CSV")
