"""Analogs of screening hits compared with the best molecules of the screened library.

    python benchmarks/hits_and_analogs.py test.csv.gz --hits 5 -n 50 --output benchmarks/hits_and_analogs.md

The library is MOSES test, the seeds are drugs. For every seed the library is ranked by a score of similarity,
drug-likeness and synthetic accessibility. Analogs of the best hits are generated, and those that are not in the library
are compared with the best of the library. The same on the command line:

    molvae screen library.smi --seeds SEED --top 10 | molvae analogs - -n 100 --rank-by 'similarity + qed - 0.1*sa'
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from common import DRUGS, header, read_smiles

import molvae
from molvae.chem.expressions import RankExpression
from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import canonical_or_none, parse

SEEDS = ("imatinib", "celecoxib", "sildenafil", "warfarin", "linezolid", "zolpidem")
RANK_BY = "tanimoto + qed - 0.1*sa"
COLUMNS = ("tanimoto", "qed", "sa")
N_BEST = 10  # molecules that are averaged


def ranked(smiles: list[str], seed: str) -> pd.DataFrame:
    """QED, SA, Tanimoto similarity to the seed and score of molecules, best first."""
    frame = molvae.score(smiles, columns=("qed", "sa"), nearest=False, fcd=False, workers=0).molecules
    frame = frame.rename(columns={"canonical": "molecule"})[["molecule", "qed", "sa"]]
    frame["tanimoto"] = tanimoto(morgan(parse(seed)), [morgan(parse(text)) for text in frame["molecule"]])
    frame["score"] = RankExpression.from_text(RANK_BY, ["tanimoto"]).evaluate(
        {name: frame[name].to_numpy() for name in COLUMNS}
    )
    return frame.sort_values(["score", "molecule"], ascending=[False, True])


def mean_cells(frame: pd.DataFrame) -> str:
    return " | ".join(f"{frame.head(N_BEST)[name].mean():.2f}" for name in ("score", *COLUMNS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="file of SMILES")
    parser.add_argument("--hits", type=int, default=10, help="best molecules of the library that analogs are made of")
    parser.add_argument("-n", type=int, default=100, help="analogs of each hit; hits * n analogs of the seed")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--output", type=Path, required=True, help="result page (.md)")
    options = parser.parse_args()
    warnings.simplefilter("ignore", molvae.MolvaeWarning)
    library_smiles = read_smiles(options.library)
    in_library = {canonical_or_none(text) for text in library_smiles}
    rows, comparisons, start = [], [], time.perf_counter()
    for name in SEEDS:
        seed = DRUGS[name]
        hits = list(molvae.screen(options.library, seeds=seed, rank_by=RANK_BY, top=options.hits).table["smiles"])
        library = ranked(hits, seed)
        rows.append(f"| {name} | best of the library | {len(library_smiles):,} | {mean_cells(library)} |")
        for source, seeds, n in (
            ("analogs of the hits", hits, options.n),
            ("analogs of the seed", [seed], options.n * len(hits)),
        ):
            generated = molvae.analogs(seeds, n, model=options.model)
            new = [text for text in dict.fromkeys(generated["smiles"]) if text not in in_library and text != seed]
            analogs = ranked(new, seed)
            rows.append(f"| | {source} | {len(new):,} | {mean_cells(analogs)} |")
            comparisons.append({"source": source, "n_better": int((analogs["score"] > library["score"].iloc[0]).sum())})
        print(*rows[-3:], sep="\n", flush=True)
    minutes = (time.perf_counter() - start) / 60
    summary = [
        f"- {source}: for {np.sum(group['n_better'] > 0)} of {len(SEEDS)} seeds, at least one scores above the best of "
        f"the library; {group['n_better'].mean():.0f} such molecules per seed."
        for source, group in pd.DataFrame(comparisons).groupby("source")
    ]
    lines = [
        *header("Analogs of hits compared with the best of the library", "torch", "rdkit", model=options.model),
        f"Library: {options.library.name}, {len(library_smiles):,} molecules. Score: `{RANK_BY}`, with the Tanimoto "
        f"similarity to the seed; mean of the best {N_BEST}. {options.hits} hits, {options.n} analogs per hit, and "
        f"{options.hits * options.n:,} of the seed, without molecules of the library. {minutes:.0f} minutes.", "",
        "| seed | | molecules | score | Tanimoto | QED | SA |", "|---|---|---|---|---|---|---|", *rows, "",
        *summary, "",
    ]  # fmt: skip
    options.output.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
