"""`python -m benchmarks.few_labels --data-root DIR`: natural accuracy of heads with few labels, fairly.

For every number of labels and every seed: one architecture and the same labelled images of MNIST for all
heads; three settings tried for each, graphs fewer where labels are too few for them, on the same 1,000
validation images, which no model is trained on or interpolates from; graph heads on the features of the
chosen softmax network, and networks trained for WNLL and SVM beside them; the chosen settings judged once
on test images. Heads are compared with softmax image by image by the exact McNemar test, p-values corrected
together by Holm's method. The same command again goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.few_labels_report import draw, report
from reports.board.shares import right, worst
from robench.plan.config import parse
from robench.plan.yaml_writer import write_text
from robench.record.files import write_atomic
from robench.record.schema import Record
from robench.record.store import Store

STEPS = 300
"""Steps of every training, whatever the number of labels; batches of at most 128."""
VALIDATION = range(50_000, 51_000)
"""Positions in MNIST's training split that settings are chosen on; the training images come before."""
GRAPHS = ((10, 5), (15, 8), (30, 15))
NEIGHBOURS = (1, 5, 15)
RATES = (0.02, 0.05, 0.1)
MOST = 2_000
"""Largest template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A setting of a head: its name and the model entry of a configuration."""

    head: str
    entry: dict[str, Any]


def drawn(labels: int, seed: int, data_root: Path) -> list[int]:
    """Return the positions of a seeded choice of training images, as many of every class."""
    import numpy as np

    from robench import plugins

    every = plugins.find("datasets", "mnist")()("train", root=data_root).labels[: VALIDATION.start].numpy()
    chance = np.random.default_rng(seed)
    per_class = labels // 10
    return sorted(
        int(i) for k in range(10) for i in chance.permutation(np.flatnonzero(every == k))[:per_class]
    )


def trained(positions: Sequence[int]) -> list[Candidate]:
    """Return what is trained: softmax and SVM at three rates each, WNLL with three graphs.

    Args:
        positions: of the labelled images in MNIST's training split.
    """
    labels = len(positions)
    batch = min(128, labels)
    epochs = max(2, round(STEPS * batch / labels))
    common = {
        "epochs": epochs,
        "batch_size": batch,
        "schedule": "cosine",
        "validation": 0.0,
        "keep": "last",
    }
    base: dict[str, Any] = {"architecture": "cnn_a", "buffer": 64}
    data = {"name": "mnist", "split": "train", "indices": list(positions)}

    def network(kind: str, setting: str, defense: dict[str, Any], **more: Any) -> Candidate:
        entry = {"name": f"{kind} {setting}", **base, "train": {"data": data, "defense": defense}, **more}
        return Candidate(head=kind, entry=entry)

    half = max(labels // 2, 1)
    return [
        *(network("softmax", f"rate {r}", {"natural": {**common, "learning_rate": r}}) for r in RATES),
        *(network("SVM", f"rate {r / 5:g}", {"svm": {**common, "learning_rate": r / 5}}) for r in RATES),
        *(
            network(
                "trained WNLL",
                f"m {m} n {n}",
                {
                    "wnll_natural": {
                        **common,
                        "epochs": epochs // 2,
                        "passes": 2,
                        "wnll_epochs": 5,
                        "wnll_batch_size": min(500, half),
                        "template": min(MOST, max(half, m)),
                        "learning_rate": 0.05,
                        "m": m,
                        "n": n,
                    }
                },
                head={"wnll": {"protocol": "joint", "m": m, "n": n, "template": template(labels)}},
            )
            for m, n in GRAPHS
            if m <= half
        ),
    ]


def on_features(network: str, labels: int) -> list[Candidate]:
    """Return the graph heads on the features of one network, three settings each."""
    size = template(labels)

    def head(name: str, setting: str, options: dict[str, Any]) -> Candidate:
        entry = {
            "name": f"{name} {setting}",
            "features_of": network,
            "head": {name: {**options, "template": size}},
        }
        return Candidate(head=name, entry=entry)

    graphs = [(m, n) for m, n in GRAPHS if m <= labels]
    candidates = [
        head(name, f"m {m} n {n}", {"m": m, "n": n, **protocol})
        for name, protocol in (
            ("wnll", {"protocol": "joint"}),
            ("laplace", {"protocol": "joint"}),
            ("poisson", {"protocol": "joint"}),
            ("pwll", {}),
        )
        for m, n in graphs
    ]
    candidates += [head("gll", f"m {m}", {"m": m, "protocol": "joint"}) for m in (10, 15, 25) if m <= labels]
    candidates += [head("knn", f"k {k}", {"k": k}) for k in NEIGHBOURS]
    candidates += [head("kernel_density", f"tau {tau}", {"tau": tau}) for tau in (0.5, 1.0, 2.0)]
    return candidates


def template(labels: int) -> int | None:
    """Return how many labelled images a head remembers: all, at most `MOST`."""
    return None if labels <= MOST else MOST


def judged(
    candidates: Sequence[Candidate],
    others: Sequence[Candidate],
    dataset: dict[str, Any],
    folder: Path,
    seed: int,
    data_root: Path,
) -> dict[str, list[Record]]:
    """Return the records of candidates on some images, by name; `others` are networks they stand on."""
    from robench.run.execute import execute
    from robench.run.settings import Environment

    names = {candidate.entry["name"] for candidate in candidates}
    bases = {c.entry.get("features_of") for c in candidates} - names
    entries = [c.entry for c in others if c.entry["name"] in bases] + [c.entry for c in candidates]
    text = write_text(
        {"schema": 1, "name": folder.name, "seed": seed, "dataset": dataset, "shard": 500, "models": entries}
    )
    plan = parse(text, file=Path("few-labels.yaml"))
    execute(plan, folder, config_text=text, environment=Environment(device="cpu", data_root=data_root))
    records: dict[str, list[Record]] = {}
    for record in Store(folder).read_records():
        if record.target.name in names:
            records.setdefault(record.target.name, []).append(record)
    return records


def accuracy(records: Sequence[Record]) -> float:
    """Return the share of images that are classified right."""
    return float(worst(records, right)[1].mean())


def chosen(candidates: Sequence[Candidate], records: dict[str, list[Record]]) -> dict[str, Candidate]:
    """Return the best candidate of every head on validation images; of equals the first."""
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        before = best.get(candidate.head)
        score = accuracy(records[candidate.entry["name"]])
        if before is None or score > accuracy(records[before.entry["name"]]):
            best[candidate.head] = candidate
    return best


def measured(labels: int, seed: int, out: Path, data_root: Path, images: int) -> dict[str, Any]:
    """Return what the chosen settings of every head measure for a number of labels and a seed."""
    folder = out / f"labels-{labels}-s{seed}"
    result = folder / "chosen.json"
    if result.exists():
        record: dict[str, Any] = json.loads(result.read_text("utf-8"))
        return record
    validation = {"name": "mnist", "split": "train", "indices": list(VALIDATION)}
    networks = trained(drawn(labels, seed, data_root))
    scores = judged(networks, [], validation, folder, seed, data_root)
    best = chosen(networks, scores)
    heads = on_features(best["softmax"].entry["name"], labels)
    scores |= judged(heads, networks, validation, folder, seed, data_root)
    best |= chosen(heads, scores)
    test = {"name": "mnist", "split": "test", "at_most": images, "subset": "first"}
    records = judged(list(best.values()), networks, test, folder, seed, data_root)
    facts = {
        head: {
            "setting": candidate.entry["name"],
            "validation": round(accuracy(scores[candidate.entry["name"]]), 6),
            "right": "".join(str(int(v)) for v in worst(records[candidate.entry["name"]], right)[1]),
        }
        for head, candidate in best.items()
    }
    write_atomic(result, json.dumps(facts, indent=1) + "\n")
    return facts


def main() -> None:
    """Measure, print the tables of docs/graph-heads.md, and draw its figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.few_labels", description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="folder with MNIST")
    parser.add_argument("--out", type=Path, default=Path("runs/few-labels"), help="folder of the runs")
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 100, 300, 1_000, 3_000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000, help="test images")
    parser.add_argument("--figure", type=Path, help="an SVG file to write")
    arguments = parser.parse_args()
    results = {
        labels: [
            measured(labels, seed, arguments.out, arguments.data_root, arguments.images)
            for seed in range(arguments.seeds)
        ]
        for labels in sorted(set(arguments.labels))
    }
    print(report(results))
    if arguments.figure:
        draw(results, arguments.figure)


if __name__ == "__main__":
    main()
