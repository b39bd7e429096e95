"""`molvae analogs`: `Generator.iter_analogs`."""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molvae.cli import options
from molvae.cli.decode import temperature_of
from molvae.cli.loading import load, scores_of
from molvae.cli.outputs import check_outputs, check_picture, destination, drawn
from molvae.cli.partial_runs import contents, kept
from molvae.cli.progress import progress

if TYPE_CHECKING:
    import pandas as pd

    from molvae.data.rows import InvalidRow, Record
    from molvae.generator import Generator


def analogs(
    seeds: options.Inputs,
    n: options.Count = 100,
    noise_level: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            show_default=False,
            help="Instead of a similarity: draw this far from a draw of the seed's posterior; 0: there; 1: anywhere.",
        ),
    ] = None,
    similarity: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Tanimoto to the seed: 0.6 is the median wanted; 0.5:0.7 lets nothing else pass. "
            "Default: 0.4 or more, and the nearest of the others where these are too few.",
        ),
    ] = None,
    samples_per_latent: Annotated[int, typer.Option(min=1, help="Strings from each latent.")] = 1,
    temperature: options.Temperature = None,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    grammar: options.Grammar = False,
    greedy: options.Greedy = False,
    max_samples: options.Budget = 0,
    keep: options.Keep = [],  # noqa: B006 - typer copies it
    contains: options.Contains = [],  # noqa: B006
    without: options.Without = [],  # noqa: B006
    core: options.Core = None,
    keep_scaffold: Annotated[
        bool, typer.Option("--keep-scaffold", help="Keep the seed's Bemis-Murcko scaffold.")
    ] = False,
    exclude_stereoisomers: Annotated[
        bool, typer.Option("--exclude-stereoisomers", help="Nothing that is the seed but for its stereo.")
    ] = False,
    exclude: Annotated[str, typer.Option(help="Alerts that the seed lacks: pains,brenk,nih.", show_default=False)] = "",
    exclude_training_set: Annotated[
        bool, typer.Option("--exclude-training-set", help="Only what is not in the training set.")
    ] = False,
    rank: Annotated[
        str | None,
        typer.Option(
            help="Order of the -n that are found, best first: qed, -sa, 'similarity - 0.2*sa'. Default: similarity.",
            show_default=False,
        ),
    ] = None,
    score: options.Scores = [],  # noqa: B006
    diverse: Annotated[int, typer.Option(min=0, help="Of the best, this many that are unlike each other; 0: all.")] = 0,
    refine: Annotated[
        bool,
        typer.Option("--refine/--no-refine", help="Mend latents that the decoder would not write the seed from."),
    ] = True,
    standardize: options.Standardize = False,
    seed: options.Seed = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: options.Picture = None,
) -> None:
    """Distinct valid molecules around each seed, the most similar first.

    Columns: seed, name (of seeds from files), smiles, similarity (Tanimoto, Morgan 2, 2048 bits), log_likelihood, qed,
    sa, logp, mw, not_in_training. In Python: `Generator.analogs`.
    """
    from molvae.cli.inputs import read
    from molvae.data.readers import looks_like_file

    draws: dict[str, Any] = {
        "noise_level": noise_level, "similarity": similarity, "samples_per_latent": samples_per_latent,
        "temperature": temperature_of(temperature, greedy), "top_k": top_k, "top_p": top_p,
        "grammar": grammar, "max_samples": max_samples, "filters": keep, "include_smarts": contains, "exclude_smarts": without,
        "core": core,
        "keep_scaffold": keep_scaffold, "exclude_stereoisomers": exclude_stereoisomers,
        "alerts": [name.strip() for name in exclude.split(",") if name.strip()], "exclude_training_set": exclude_training_set,
        "rank_by": rank, "scores": scores_of(score, device), "n_diverse": diverse, "optimize_latents": refine,
        "standardize": standardize, "random_state": seed,
    }  # fmt: skip
    check_picture(picture)
    check_outputs(output, picture, inputs=seeds)
    generator = load(model, device)
    settings = _settings(generator, model, n, draws, score, column)
    with kept(output, seeds, settings) as parts:
        named = any(text == "-" or looks_like_file(text) for text in seeds)
        run = _Run(read(seeds, column), parts.counts if parts else {}, named=named)
        tables = run.tables(generator, n, draws)
        if parts:
            tables = parts.keep(tables)
        with destination(output) as write, drawn(picture) as draw:
            for frame in tables:
                draw(frame)
                write(frame)
            typer.echo(run.summary(), err=True)
            if not run.counts["molecules"]:
                if output is not None and output.exists():
                    typer.echo(f"{output} is not written: what is there is older", err=True)
                raise typer.Exit(1)


def _settings(
    generator: Generator, model: str, n: int, draws: dict[str, Any], scores: list[str], column: str | None
) -> dict[str, Any]:
    """All that the molecules of a seed depend on, on one machine; the seeds themselves apart."""
    from importlib.metadata import version

    from molvae.checkpoint import CONFIG, locate

    return {
        "count": n,
        **{name: value for name, value in draws.items() if name != "scores"},
        **{f"score {place}": _score(text) for place, text in enumerate(scores, start=1)},
        "column": column,
        "model": contents(str(locate(model) / CONFIG)),  # in which are the digests of its other files
        "device": str(generator.device),
        **{name: version(name) for name in ("molvae", "rdkit", "torch")},
    }


def _score(text: str) -> str:
    """A folder, or FILE.py:FUNCTION."""
    file, function = text.rsplit(":", 1) if ".py:" in text else (text, "")
    return f"{contents(file)} {function}".strip()


class _Run:
    """The seeds on their way through the generator, and the count of what became of them."""

    def __init__(self, rows: Iterator[Record | InvalidRow], done: Mapping[str, int], *, named: bool) -> None:
        """`done` are the counts of the rows that an earlier run has dealt with; `named`: the table has their names."""
        self.counts, self.named = Counter(done), named
        self.rows = islice(rows, self.counts["used"] + self.counts["rejected"], None)
        self.pending: deque[tuple[Record, int]] = deque()  # handed to the generator, and how many were rejected before
        self.rejected = 0  # since the last of these

    def tables(self, generator: Generator, n: int, draws: dict[str, Any]) -> Iterator[pd.DataFrame]:
        """A table for every few seeds, in its `attrs` the counts of the rows it is about."""
        from molvae.errors import MolvaeWarning

        with warnings.catch_warnings(), progress("molecules") as advance:
            warnings.simplefilter("ignore", MolvaeWarning)  # they say what is said below with the place of the row
            for frame in generator.iter_analogs(self._seeds(), n, **draws, progress=advance):
                for line in frame.attrs["summary"]:
                    typer.echo(line, err=True)
                counts, names = self._account(frame)
                self.counts.update(counts)
                if self.named:
                    frame.insert(1, "name", names)
                frame.attrs = {"counts": dict(counts)}
                yield frame
        self.counts["rejected"] += self.rejected

    def _seeds(self) -> Iterator[str]:
        from molvae.cli.inputs import report
        from molvae.data.rows import Record

        for row in self.rows:
            if isinstance(row, Record):
                self.pending.append((row, self.rejected))
                self.rejected = 0
                yield row.smiles
            else:
                report(row)
                self.rejected += 1

    def _account(self, frame: pd.DataFrame) -> tuple[Counter[str], list[str]]:
        """What became of the rows that a table is about, and for each of its own the name of the seed."""
        from molvae.cli.inputs import report

        counts, names = Counter(molecules=len(frame)), list[str]()
        for found in frame.attrs["rows_per_seed"]:
            row, rejected_before = self.pending.popleft()
            names += [row.name] * found
            counts["rejected"] += rejected_before
            reason = frame.attrs["errors"].get(row.smiles)
            if reason is not None:
                report(row, reason)
            counts["used" if reason is None else "rejected"] += 1
        return counts, names

    def summary(self) -> str:
        """Such as "3 seeds: 2 used, 1 rejected; 200 molecules"."""
        used, rejected = self.counts["used"], self.counts["rejected"]
        return (
            f"{used + rejected:,} seeds: {used:,} used, {rejected:,} rejected; {self.counts['molecules']:,} molecules"
        )
