"""The page of `sampling.py`, of its rows."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import sampling_decoding
import sampling_peers

Rows = list[dict[str, Any]]
PACKAGES = ("torch", "rdkit", "selfies", "crem")


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # a peer that took no part
            continue
    return ", ".join(found)


def _table(head: str, rows: list[str]) -> list[str]:
    return [f"| {head} |", "|" + "---|" * (head.count("|") + 1), *(f"| {row} |" for row in rows)]


def _decode_page(rows: Rows) -> list[str]:
    rate = {(row["threads"], row["name"]): row["symbols"] / row["seconds"] for row in rows}
    lines = []
    for row in rows:
        threads, kind = row["threads"], row["name"].partition(", ")[2]
        cells = [f"{row['name']} | {threads} | {row['strings'] / row['seconds']:,.0f} | "
                 f"{rate[threads, row['name']]:,.0f} "]  # fmt: skip
        for other in ("products, 32", f"products, {kind}", f"products that are not looked up, {kind}"):
            share = rate[threads, row["name"]] / rate[threads, other] if row["name"].startswith("engine") else None
            cells.append("" if share is None else f" {share:.2f} ")
        best = max(rate[threads, name] for many, name in rate if many == threads and "loop" in name)
        cells.append(f" {rate[threads, row['name']] / best:.1f}" if row["name"].startswith("engine") else "")
        lines.append("|".join(cells))
    return [
        "## Decoding", "",
        f"{rows[0]['strings']:,} strings around test molecules, noise level {sampling_decoding.NOISE_LEVEL}, temperature "
        f"{sampling_decoding.TEMPERATURE}; symbols are real ones, ends counted. The products are the network's matrix "
        "products for as many symbols, as many rows at once as the engine has, and nothing else; the engine looks the "
        "first of them up. The loop is `nn.GRU` a symbol at a time and `multinomial`, until a batch has ended. The "
        "last columns are the engine's symbols a second over those of others.", "",
        *_table("| threads | strings/s | symbols/s | of products in 32 | of products in its precision | of those it "
                "does not look up | times the better loop", lines),
    ]  # fmt: skip


def _exactness_page(rows: Rows) -> list[str]:
    return [
        "## What precision costs", "",
        f"{rows[0]['molecules']:,} test molecules written greedily from their own latents; the divergence from "
        f"precision 32, Kullback-Leibler, is of a symbol in strings written at noise level {sampling_decoding.NOISE_LEVEL}, where "
        f"a symbol's entropy is {rows[0]['entropy']:.3f} nats.", "",
        *_table("precision | exactly reconstructed | string as with 32 | divergence, nats a symbol", [
            f"{row['precision']} | {row['exact']:.1%} | {row['as 32']:.1%} | {row['divergence']:.1e}" for row in rows
        ]),
    ]  # fmt: skip


def _charrnn_page(rows: Rows) -> list[str]:
    rates = [row["strings"] / row["seconds"] for row in rows]
    return [
        "## Beside MOSES's CharRNN", "",
        "molsets 0.3.1, its network with one LSTM layer as wide as our decoder and random weights, and its own "
        f"`sample`, which always takes 100 steps; 32 is its script's batch. {rows[0]['threads']} threads.", "",
        *_table("| strings/s | symbols a string | the engine is", [
            f"{row['name']} | {rate:,.0f} | {row['symbols'] / row['strings']:.0f} | "
            f"{f'{rates[0] / rate:,.0f} times as fast' if rate != rates[0] else ''}"
            for row, rate in zip(rows, rates, strict=True)
        ]),
    ]  # fmt: skip


def _end_page(rows: Rows) -> list[str]:
    first, seconds = rows[0], {row["name"]: row["seconds"] for row in rows}
    shares = {name: seconds["parse and write"] / taken for name, taken in seconds.items()}
    parts = seconds["decode"] + seconds["parse, write, fingerprint"]
    return [
        "## End to end", "",
        f"`Generator.iter_analogs`, {first['seeds']} test molecules, 100 analogs of each: {first['molecules']:,} "
        f"distinct valid canonical molecules with their similarity, of {first['strings']:,} strings, "
        f"{first['distinct strings']:,} of them distinct and read, by {first['workers']} processes. The same processes "
        "parse and write the same strings alone. Properties are left out, with `properties=()`.",
        "",
        *_table("| seconds | a second | time of parse and write / this", [
            f"molecules | {seconds['molecules']:.1f} | "
            f"{first['molecules'] / seconds['molecules']:,.0f} molecules | {shares['molecules']:.2f}",
            *(f"{name}, alone | {seconds[name]:.1f} | {first[counted] / seconds[name]:,.0f} strings | "
              f"{shares[name]:.2f}" for name, counted in (("parse and write", "distinct strings"),
                                    ("parse, write, fingerprint", "distinct strings"), ("decode", "strings"))),
        ]), "",
        f"Decoding and reading one after the other, each with all cores, take {parts:.1f} s: "
        f"{parts / seconds['molecules']:.2f} of the time end to end. Where decoder and workers share the cores, no "
        "overlap can win more than 1.",
    ]  # fmt: skip


def _peers_page(rows: Rows) -> list[str]:
    near, good = ([row[name] / row["seconds"] for row in rows] for name in ("near", "usable"))
    return [
        "## Beside mutation and fragments", "",
        f"{rows[0]['seeds']} test molecules, up to {sampling_peers.WANTED} distinct valid analogs of each at Tanimoto "
        "0.4 or more, one thread each, without the properties of the table. Usable as `molvae score` has it: also new, "
        "no harder to make than the seed (SA at most 0.5 above) and without a PAINS or BRENK alert that it lacks. "
        f"crem's database holds {rows[0]['replacements']:,} replacements in their surroundings.", "",
        *_table("| at 0.4 or more | all 100, of the seeds | a second | usable | usable share | usable a second", [
            f"{row['name']} | {row['near']:,} | {row['full']} | {a:,.0f} | {row['usable']:,} | "
            f"{row['usable'] / max(1, row['near']):.0%} | {b:,.1f}"
            for row, a, b in zip(rows, near, good, strict=True)
        ]),
    ]  # fmt: skip


def _cold_page(rows: Rows) -> list[str]:
    whole, *stages = rows
    total = sum(row["seconds"] for row in stages)
    return [
        "## Cold start", "",
        "`molvae analogs SEED -n 100 -o analogs.csv`, the seed imatinib, a fresh process each time: "
        f"**{whole['seconds']:.1f} s** (median of {len(whole['all'])}, {min(whole['all']):.1f} to "
        f"{max(whole['all']):.1f}). Where it goes, in processes that watch themselves; an import is what it adds to "
        "those above it.", "",
        *_table("| seconds | share", [f"{row['name']} | {row['seconds']:.2f} | {row['seconds'] / total:.0%}"
                                      for row in stages]),
    ]  # fmt: skip


SECTIONS: dict[str, Callable[[Rows], list[str]]] = {
    "decode": _decode_page, "exactness": _exactness_page, "charrnn": _charrnn_page, "end": _end_page,
    "peers": _peers_page, "cold": _cold_page,
}  # fmt: skip


def page(folder: Path) -> str:
    """The committed page, of the sections whose rows are there."""
    lines = ["# Sampling: speed", "",
             f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
             f"{_versions()}. Made by `benchmarks/sampling.py`; times are medians over rounds in which all "
             "took turns.", ""]  # fmt: skip
    for section, write in SECTIONS.items():
        file = folder / f"{section}.json"
        if file.exists():
            lines += [*write(json.loads(file.read_text(encoding="utf-8"))), ""]
    return "\n".join(lines)
