"""Are proposed analogs of the hits better than the best that the library has?

    python benchmarks/hits_and_analogs.py test.csv.gz --out benchmarks/hits_and_analogs.md

The library is MOSES test; the seeds are drugs. For every seed the library is screened (`--by tanimoto`, and by a score
that weighs likeness against drug-likeness and ease of synthesis); the best hits are given to `analogs`, and what comes
back, without what is in the library, is set beside the library's best. The same pipe on the command line:

    molvae screen library.smi --like SEED --top 10 | molvae analogs - -n 100 --rank 'similarity + qed - 0.1*sa'
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import molvae
from molvae.chem.expressions import RankExpression
from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import canonical_or_none, parse
from molvae.data.readers import Record, read_records

SEEDS = {
    "imatinib": "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "celecoxib": "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "sildenafil": "CCCc1nn(C)c2c(=O)[nH]c(-c3cc(S(=O)(=O)N4CCN(C)CC4)ccc3OCC)nc12",
    "warfarin": "CC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O",
    "linezolid": "CC(=O)NC[C@H]1CN(c2ccc(N3CCOCC3)c(F)c2)C(=O)O1",
    "zolpidem": "Cc1ccc(-c2nc3ccc(C)cn3c2CC(=O)N(C)C)cc1",
}
RANK = "tanimoto + qed - 0.1*sa"
FIGURES = ("tanimoto", "qed", "sa")
BEST = 10  # molecules compared


def described(smiles: list[str], seed: str) -> pd.DataFrame:
    """Figures of molecules, `tanimoto` being to the seed, and the rank."""
    frame = molvae.score(smiles, columns=("qed", "sa"), nearest=False, fcd=False, workers=0).molecules
    frame = frame.rename(columns={"canonical": "molecule"})[["molecule", "qed", "sa"]]
    frame["tanimoto"] = tanimoto(morgan(parse(seed)), [morgan(parse(text)) for text in frame["molecule"]])
    frame["score"] = RankExpression.from_text(RANK, ["tanimoto"]).values(
        {name: frame[name].to_numpy() for name in ("tanimoto", "qed", "sa")}
    )
    return frame.sort_values(["score", "molecule"], ascending=[False, True])


def cells(frame: pd.DataFrame) -> str:
    best = frame.head(BEST)
    return " | ".join(f"{best[name].mean():.2f}" for name in ("score", *FIGURES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--hits", type=int, default=10, help="of the library's best, given to analogs")
    parser.add_argument("-n", type=int, default=100, help="analogs of each hit, and of the seed")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore", molvae.MolvaeWarning)
    rows = [row.smiles for row in read_records(options.library) if isinstance(row, Record)]
    owned = {canonical_or_none(text) for text in rows}
    lines, better, start = [], [], time.perf_counter()
    for name, seed in SEEDS.items():
        hits = molvae.screen(options.library, seeds=seed, rank_by=RANK, top=options.hits).table
        library = described(list(hits["smiles"]), seed)
        lines.append(f"| {name} | best of the library | {len(rows):,} | {cells(library)} |")
        for what, given in (("analogs of the hits", list(hits["smiles"])), ("analogs of the seed", [seed])):
            n = options.n if len(given) > 1 else options.n * len(hits)
            made = molvae.analogs(given, n, model=options.model)
            fresh = [text for text in dict.fromkeys(made["smiles"]) if text not in owned and text != seed]
            analogs = described(fresh, seed)
            lines.append(f"| | {what} | {len(fresh):,} | {cells(analogs)} |")
            better.append((what, analogs["score"].iloc[0] > library["score"].iloc[0],
                           int((analogs["score"] > library["score"].iloc[0]).sum())))  # fmt: skip
        print(*lines[-3:], sep="\n", flush=True)
    minutes = (time.perf_counter() - start) / 60
    won = [
        f"- {what}: {np.sum([w for k, w, _ in better if k == what])} of {len(SEEDS)} seeds have one that scores above "
        f"the library's best; {np.mean([c for k, _, c in better if k == what]):.0f} such molecules per seed."
        for what in ("analogs of the hits", "analogs of the seed")
    ]
    text = [
        "# Analogs of the hits against the best of the library", "",
        f"Library: {options.library.name}, {len(rows):,} molecules. Score: `{RANK}` to the seed; mean of the best "
        f"{BEST}. {options.hits} hits, {options.n} analogs of each, and {options.hits * options.n:,} of the seed; "
        f"model `{options.model}`; what the library has is left out. {minutes:.0f} minutes on {os.cpu_count()} cores "
        f"({platform.machine()}). Made by `benchmarks/hits_and_analogs.py`.", "",
        "| seed | | molecules | score | Tanimoto | QED | SA |", "|---|---|---|---|---|---|---|", *lines, "", *won, "",
    ]  # fmt: skip
    options.out.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
