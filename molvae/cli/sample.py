"""`molvae sample`: `Generator.sample`."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from molvae.cli import options
from molvae.cli.decode import temperature_of
from molvae.cli.loading import load
from molvae.cli.outputs import destination
from molvae.cli.progress import progress


def sample(
    n: options.Count = 100,
    prior: Annotated[
        str, typer.Option(help="unit (Gaussian), learned (saved with the model), or auto: learned where there is one.")
    ] = "auto",
    temperature: options.Temperature = None,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    grammar: options.Grammar = False,
    greedy: options.Greedy = False,
    max_samples: options.Budget = 0,
    seed: options.Seed = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
) -> None:
    """Distinct valid molecules from the prior, in the order they were drawn.

    Columns: smiles, log_likelihood, qed, sa, logp, mw, not_in_training. In Python: `Generator.sample`.
    """
    heat = temperature_of(temperature, greedy)
    with destination(output) as write:
        generator = load(model, device)
        with warnings.catch_warnings(), progress("molecules", n) as advance:
            warnings.simplefilter("ignore")  # the summary says the same
            frame = generator.sample(
                n,
                prior=prior,
                temperature=heat,
                top_k=top_k,
                top_p=top_p,
                grammar=grammar,
                max_samples=max_samples,
                random_state=seed,
                progress=advance,
            )
        typer.echo("\n".join(frame.attrs["summary"]), err=True)
        if not len(frame):
            raise typer.Exit(1)
        write(frame)
