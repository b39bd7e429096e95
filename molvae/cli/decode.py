"""`molvae decode`: `Generator.decode`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molvae.cli import options
from molvae.cli.loading import load
from molvae.cli.outputs import destination
from molvae.cli.progress import progress
from molvae.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def temperature_of(temperature: float | None, greedy: bool) -> float | None:
    """What `--temperature` and `--greedy` ask for; None where they say nothing. Raises `InputError`."""
    if greedy and temperature:
        raise InputError(f"--greedy is temperature 0, but --temperature is {temperature:g}: give one of them")
    return 0.0 if greedy else temperature


def decode(
    latents: Annotated[
        str,
        typer.Argument(
            show_default=False, help="A table with columns z0, z1 ... (.csv .parquet), an array (.npy), or -."
        ),
    ],
    temperature: options.Temperature = None,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    grammar: options.Grammar = False,
    greedy: options.Greedy = False,
    inversion_steps: options.Corrections = 0,
    seed: options.Seed = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
) -> None:
    """Molecules from latents, one row out per row in: smiles, log_likelihood, error.

    Greedy unless a temperature is given. With --inversion-steps also distance, of the molecule's own latent from that asked
    for: 0 where it is that; besides the greedy one strings are drawn for it, at the temperature or at 1.2.
    In Python: `Generator.decode`.
    """
    heat = temperature_of(temperature, greedy) or 0.0
    table = read_latents(latents)
    with destination(output, [latents]) as write:
        generator = load(model, device)
        with progress("latents", len(table)) as advance:
            frame = generator.decode(
                table, temperature=heat, top_k=top_k, top_p=top_p, grammar=grammar, inversion_steps=inversion_steps, random_state=seed,
                progress=advance,
            )  # fmt: skip
        valid = int((frame["error"] == "").sum())
        typer.echo(f"{len(frame):,} latents: {valid:,} molecules, {len(frame) - valid:,} without", err=True)
        write(frame)
    if len(frame) and not valid:
        raise typer.Exit(1)


def read_latents(source: str) -> pd.DataFrame | NDArray[Any]:
    """The table or array of a file, or the CSV on standard input. Raises `InputError`."""
    import numpy as np
    import pandas as pd

    suffix = Path(source).suffix.lower()
    try:
        if source == "-":
            return pd.read_csv(sys.stdin)
        if suffix == ".csv":
            return pd.read_csv(source)
        if suffix == ".parquet":
            return pd.read_parquet(source)
        if suffix == ".npy":
            array: NDArray[Any] = np.load(source, allow_pickle=False)
            return array
    except FileNotFoundError:
        raise InputError(f"{source} does not exist: check the spelling and the current directory") from None
    except (OSError, ValueError, EOFError) as error:  # those of pandas and pyarrow are ValueErrors
        raise InputError(f"{source} cannot be read as latents: {error}") from None
    raise InputError(f"{source} is of no known format: latents are .csv, .parquet or .npy, or - for CSV")
