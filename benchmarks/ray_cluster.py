"""Does a screen on a Ray cluster of two nodes give the shortlist of a single process, also when a node is lost?

    python benchmarks/ray_cluster.py library.smi --out benchmarks/ray_cluster.md

The cluster is started here: two nodes with a core each, with their own schedulers and object stores. Once both have
begun, the third screen takes the second node away; Ray starts the lost work again on the first.
"""

from __future__ import annotations

import argparse
import os
import platform
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from ray.cluster_utils import Cluster

import molvae

SEED = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"
STORE = 300_000_000  # bytes of a node's objects


def timed(path: Path, **options: Any) -> tuple[pd.DataFrame, str, float]:
    start = time.perf_counter()
    done = molvae.screen(path.resolve(), seeds=SEED, **options)
    return done.table, done.counts.summary(), time.perf_counter() - start


class Loss:
    """Takes a node away as soon as some rows are done."""

    def __init__(self, cluster: Cluster, node: Any) -> None:
        self.cluster, self.node, self.happened = cluster, node, threading.Event()

    def __call__(self, _: Any) -> None:
        if not self.happened.is_set():
            self.happened.set()
            threading.Thread(target=self.cluster.remove_node, args=(self.node, False), daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--top", type=int, default=1000)
    parser.add_argument("--note", default="", help="a sentence for the page, such as what else the machine did")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE}
    )
    second = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    lines, summary = [], ""
    for by, lost in (("tanimoto", False), ("latent", False), ("latent", True)):
        alone, counts, seconds = timed(options.library, by=by, top=options.top, workers=0)
        taken = Loss(cluster, second) if lost else (lambda _: None)
        table, summary, on_ray = timed(options.library, by=by, top=options.top, ray=cluster.address, taken=taken)
        pd.testing.assert_frame_equal(table.drop(columns="source"), alone.drop(columns="source"), rtol=1e-6, atol=1e-6)
        apart = (table["score"] - alone["score"]).abs().max()
        assert summary == counts, (summary, counts)
        nodes = sum(node["Alive"] for node in ray.nodes())
        assert nodes == (1 if lost else 2)
        how = "one of two is lost" if lost else "two nodes"
        lines.append(
            f"| {by} | {how} | {seconds:.0f} | {on_ray:.0f} | {len(table):,} rows, the same in the same order | "
            f"{apart:.0e} |"
        )
        print(lines[-1], flush=True)
    text = [
        "# A screen on two Ray nodes", "",
        f"Two nodes with a core each, on one machine of {os.cpu_count()} cores ({platform.machine()}); Ray "
        f"{version('ray')}. {summary}. Seconds include the start of the actors, some ten seconds each. Made by "
        f"`benchmarks/ray_cluster.py`, which fails where a shortlist differs. {options.note}".rstrip(), "",
        "| ranked by | cluster | single process, s | Ray, s | shortlists | scores differ by at most |",
        "|---|---|---|---|---|---|", *lines, "",
    ]  # fmt: skip
    options.out.write_text("\n".join(text), encoding="utf-8")
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
