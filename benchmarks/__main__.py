"""`python -m benchmarks [NAME ...] [--data-root DIR] [--images N] [--repeats N] [--seeds N] [--out FILE]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import attacks, cascade, graph, libraries, memory, models, training, wnll_training
from benchmarks.bars import works
from robench.machine import hardware, keep_freed_memory, versions

DEFAULT = ("pgd", "cw", "graph", "memory", "training", "wnll_training")
NAMES = (*DEFAULT, "bars", "libraries", "cascade")  # `cascade` needs the package pyautoattack; both take long


def main() -> None:
    """Run the benchmarks named, or all, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; default {', '.join(DEFAULT)}"
    )
    parser.add_argument("--data-root", type=Path, help="folder with MNIST and cifar10-jpeg.zip")
    parser.add_argument(
        "--images", type=int, help="images of `training` (default 2000) and `cascade` (MNIST: default 200)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="counted rounds (default 5)")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of `cascade` (default 1)")
    parser.add_argument("--checkpoint", type=Path, help="Small-CNN, buffer 128, for `cascade` on MNIST")
    parser.add_argument(
        "--work", action="append", choices=list(works.WORKS), help="part of `bars`; may be given again"
    )
    parser.add_argument("--out", type=Path, help="also write the Markdown to this file")
    arguments = parser.parse_args()
    strangers = set(arguments.names) - set(NAMES)
    if strangers:
        parser.error(f"unknown benchmark: {', '.join(sorted(strangers))}; choose from {', '.join(NAMES)}")
    names = arguments.names or DEFAULT
    keep_freed_memory()  # for all rivals alike: they share the process
    facts = hardware("cpu")
    packages = ", ".join(f"{name} {version}" for name, version in versions().items() if version != "absent")
    lines = [
        f"Machine: {facts['machine']}, {facts['cores']} cores, {facts['threads']} threads. {packages}.",
        "",
    ]
    if {"pgd", "cw", "libraries"} & set(names):
        model, data = models.small_cnn(arguments.data_root)
        if "libraries" in names:
            lines += libraries.report(model, data, eps=0.3, step=0.04, repeats=arguments.repeats)
        if "pgd" in names:
            lines += attacks.pgd20(model, data, eps=0.3, step_size=0.04, repeats=arguments.repeats)
            net, photos = models.resnet20(arguments.data_root)
            lines += attacks.pgd20(net, photos, eps=8 / 255, step_size=2 / 255, repeats=arguments.repeats)
        if "cw" in names:
            lines += attacks.cw50(model, data.subset(slice(0, 96)), repeats=min(arguments.repeats, 3))
    if "graph" in names:
        lines += graph.report(arguments.data_root, 4 * arguments.repeats)
    if "memory" in names:
        lines += memory.report()
    if "training" in names:
        lines += training.report(arguments.data_root, arguments.images or 2000, arguments.repeats)
    if "wnll_training" in names:
        lines += wnll_training.report(arguments.data_root, min(arguments.repeats, 3))
    if "cascade" in names and arguments.data_root is None:
        lines += cascade.report(cascade.digits(), arguments.seeds, shard=100)
    elif "cascade" in names:
        setup = cascade.mnist(arguments.data_root, arguments.images or 200, arguments.checkpoint)
        lines += cascade.report(setup, arguments.seeds, shard=50)
    if "bars" in names:
        lines += works.report(
            arguments.data_root, arguments.repeats, Path(__file__).parent, arguments.work or ()
        )
    text = "\n".join(lines)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
