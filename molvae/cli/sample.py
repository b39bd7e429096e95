"""`molvae sample`: molecules from the prior (`Generator.sample`)."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from molvae.cli import options
from molvae.cli.loading import load_model, temperature_option
from molvae.cli.outputs import table_output
from molvae.cli.usage import one_of
from molvae.viz.progress import progress_bar


def sample(
    n: options.Count = 100,
    prior: Annotated[
        str,
        typer.Option(
            rich_help_panel=options.SAMPLING,
            callback=one_of("auto", "unit", "learned"),
            help="unit (standard Gaussian), learned (fitted, saved with the model), or auto: learned if there is one.",
        ),
    ] = "auto",
    temperature: options.Temperature = None,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    grammar: options.Grammar = False,
    greedy: options.Greedy = False,
    max_samples: options.MaxSamples = 0,
    random_seed: options.RandomSeed = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
) -> None:
    """Generate distinct valid molecules from the model's prior.

    Columns: smiles, log_likelihood, qed, sa, logp, mw, not_in_training. In Python: `molvae.sample`.
    """
    chosen_temperature = temperature_option(temperature, greedy)
    with table_output(output) as write:
        generator = load_model(model, device)
        with warnings.catch_warnings(), progress_bar(n, "molecules") as advance:
            warnings.simplefilter("ignore")  # the summary has the same information
            frame = generator.sample(
                n, prior=prior, temperature=chosen_temperature, top_k=top_k, top_p=top_p, grammar=grammar,
                max_samples=max_samples, random_state=random_seed, progress=advance,
            )  # fmt: skip
        typer.echo("\n".join(frame.attrs["summary"]), err=True)
        if not len(frame):
            raise typer.Exit(1)
        write(frame)
