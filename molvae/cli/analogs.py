"""`molvae analogs`: `Generator.iter_analogs`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molvae.cli import options
from molvae.cli.decoding import temperature_of
from molvae.cli.loading import load
from molvae.cli.outputs import destination
from molvae.cli.progress import progress

if TYPE_CHECKING:
    import pandas as pd

    from molvae.data.rows import Record, Refusal
    from molvae.generator import Generator


def analogs(
    seeds: options.Inputs,
    n: options.Count = 100,
    radius: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            show_default=False,
            help="0: the seed itself; 1: anything. Default: close by, and further out as needed.",
        ),
    ] = None,
    similarity: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="Tanimoto to the seed: 0.6 is the median wanted; 0.5:0.7 lets nothing else pass."
        ),
    ] = None,
    decodes: Annotated[int, typer.Option(min=1, help="Strings from each latent.")] = 1,
    temperature: options.Temperature = None,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    greedy: options.Greedy = False,
    budget: options.Budget = 0,
    keep: Annotated[
        list[str],
        typer.Option(help="A window of a property, such as mw<500 or 'logp 1:4'; repeatable.", show_default=False),
    ] = [],  # noqa: B006 - typer copies it
    contains: Annotated[list[str], typer.Option(help="SMARTS that must occur; repeatable.", show_default=False)] = [],  # noqa: B006
    without: Annotated[list[str], typer.Option(help="SMARTS that may not occur; repeatable.", show_default=False)] = [],  # noqa: B006
    keep_scaffold: Annotated[
        bool, typer.Option("--keep-scaffold", help="Keep the seed's Bemis-Murcko scaffold.")
    ] = False,
    exclude: Annotated[str, typer.Option(help="Alerts that the seed lacks: pains,brenk,nih.", show_default=False)] = "",
    novel_only: Annotated[bool, typer.Option("--novel-only", help="Only what is not in the training set.")] = False,
    rank: Annotated[
        str | None,
        typer.Option(
            help="Order, best first: qed, -sa, 'similarity - 0.2*sa'. Default: similarity.", show_default=False
        ),
    ] = None,
    diverse: Annotated[int, typer.Option(min=0, help="Of the best, this many that are unlike each other; 0: all.")] = 0,
    standardise: options.Standardise = False,
    seed: options.Seed = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: options.Picture = None,
) -> None:
    """Distinct valid molecules around each seed, the most similar first.

    Columns: seed, smiles, similarity (Tanimoto, Morgan 2, 2048 bits), log_likelihood, qed, sa, logp, mw, novel. In
    Python: `Generator.analogs`.
    """
    from molvae.cli.inputs import read

    draws: dict[str, Any] = {
        "radius": radius, "similarity": similarity, "decodes": decodes,
        "temperature": temperature_of(temperature, greedy), "top_k": top_k, "top_p": top_p,
        "budget": budget, "keep": keep, "contains": contains, "without": without, "keep_scaffold": keep_scaffold,
        "exclude": [name.strip() for name in exclude.split(",") if name.strip()], "novel_only": novel_only,
        "rank": rank, "diverse": diverse, "standardise": standardise, "seed": seed,
    }  # fmt: skip
    run = _Run(read(seeds, column))
    with destination(output) as write, _drawn(picture) as draw:
        for frame in run.tables(load(model, device), n, draws):
            write(frame)
            draw(frame)
        typer.echo(run.summary(), err=True)
        if not run.molecules:
            raise typer.Exit(1)


def _drawn(picture: Path | None) -> Any:
    """The picture is one more file that tables go to."""
    from contextlib import nullcontext

    from molvae.errors import InputError
    from molvae.output import table_file
    from molvae.pictures import FORMATS

    if picture is None:
        return nullcontext(lambda frame: None)  # noqa: ARG005
    if picture.suffix.lower() not in FORMATS:
        raise InputError(f"--picture is a .png or .svg, got {picture}; -o writes tables")
    return table_file(picture)


class _Run:
    """The seeds on their way through the generator, and the count of what became of them."""

    def __init__(self, rows: Iterator[Record | Refusal]) -> None:
        self.rows = rows
        self.pending: list[Record] = []  # handed to the generator, not answered yet
        self.used = self.refused = self.molecules = 0

    def tables(self, generator: Generator, n: int, draws: dict[str, Any]) -> Iterator[pd.DataFrame]:
        with warnings.catch_warnings(), progress("molecules") as advance:
            warnings.simplefilter("ignore")  # they say what is said below with the place of the row
            for frame in generator.iter_analogs(
                self._seeds(), n, **draws, progress=advance and (lambda done: advance(self.molecules + done))
            ):
                self._account(frame)
                yield frame

    def _seeds(self) -> Iterator[str]:
        from molvae.cli.inputs import report
        from molvae.data.rows import Record

        for row in self.rows:
            if isinstance(row, Record):
                self.pending.append(row)
                yield row.smiles
            else:
                report(row)
                self.refused += 1

    def _account(self, frame: pd.DataFrame) -> None:
        from molvae.cli.inputs import report

        for row in self.pending:
            reason = frame.attrs["errors"].get(row.smiles)
            if reason is None:
                self.used += 1
            else:
                report(row, reason)
                self.refused += 1
        self.pending.clear()
        self.molecules += len(frame)
        for line in frame.attrs["summary"]:
            typer.echo(line, err=True)

    def summary(self) -> str:
        """Such as "3 seeds: 2 used, 1 refused; 200 molecules"."""
        seeds = self.used + self.refused
        return f"{seeds:,} seeds: {self.used:,} used, {self.refused:,} refused; {self.molecules:,} molecules"
