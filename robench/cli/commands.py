"""Every command: its group, where its function is, and the sentence that `robench --help` shows."""

from __future__ import annotations

from typing import Any

from robench.cli.guard import Guard
from robench.cli.lazy_command import LazyCommand

COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Measure": {
        "run": (
            "run:run",
            "Evaluate a configuration and print its leaderboard; the same command again resumes.",
        ),
        "eval": (
            "eval:evaluate_one",
            "Evaluate one model and print its row; the run folder keeps the configuration, to go on from.",
        ),
        "train": ("train:train", "Train the networks of a configuration; the same command again resumes."),
        "certify": (
            "certify:certify",
            "Certify the images of a configuration on one model: how many no attack can break; nothing "
            "is attacked.",
        ),
        "paper": (
            "paper:paper",
            "Measure tables and figures of Wang & Osher 2019 and print them beside the published numbers.",
        ),
        "merge": (
            "merge:merge",
            "Bring the parts of one plan together; `robench run` on the new folder finishes and reports it.",
        ),
    },
    "Check and prove": {
        "check": (
            "check:check",
            "Validate a configuration, or check a plugin against the laws of its kind; nothing is evaluated.",
        ),
        "verify": (
            "verify:verify",
            "Verify a run: files, tables, hashes, verdicts on the stored images, and a sample of jobs "
            "done again.",
        ),
        "rerun": (
            "rerun:rerun",
            "Repeat a run in a new folder and compare the records; exit code 1 where they differ.",
        ),
        "parity": (
            "parity:parity",
            "Attack the same images with every library's version of an attack; say who was weaker.",
        ),
    },
    "Read and compare results": {
        "leaderboard": (
            "leaderboard:leaderboard",
            "Show the leaderboard of run folders; runs share a board only where images and threat are "
            "the same.",
        ),
        "compare": (
            "compare:compare",
            "Compare two runs image by image: gap, its score interval for pairs, and the exact McNemar test.",
        ),
        "plot": (
            "documents:plot",
            "Draw a figure of run folders; the suffix of the file chooses the format.",
        ),
        "table": (
            "documents:table",
            "Show tables of Wang & Osher 2019 with our numbers, the published ones and the difference.",
        ),
        "report": (
            "documents:report",
            "Write the HTML report and the model cards of a run folder; damaged files are listed on "
            "the page.",
        ),
        "optimality": (
            "optimality:optimality",
            "Score attacks that look for smallest perturbations against the smallest that any run here "
            "found.",
        ),
    },
    "Publish": {
        "board": (
            "board:board",
            "Make a site of many runs: one board for each data set and threat, a page for each model, "
            "offline.",
        ),
        "submit": (
            "submit:submit",
            "Pack a run into one small file for `robench board`: records, cards, images that broke "
            "each model.",
        ),
        "badge": (
            "documents:badge",
            "Draw a badge of one model's headline; a doubted or partial number says so.",
        ),
        "cite": (
            "documents:cite",
            "Print BibTeX of every attack, defense, head, network and data set that runs used.",
        ),
        "export": (
            "export:export",
            "Write results in the layout of others: Hugging Face, OWASP's AI Exchange, CSV or Parquet.",
        ),
    },
    "What there is": {
        "list": (
            "list:list_plugins",
            "List attacks, defenses, models, heads, data sets, reports, figures and suites.",
        ),
        "show": ("show:show", "Show a plugin's options and paper, a suite, or what is in a run folder."),
        "doctor": ("doctor:doctor", "Say what is installed, which devices there are, and what to repair."),
    },
}
"""The commands in their groups: function in this package, and the first sentence of its docstring."""


class Commands(Guard):
    """The group of all commands, each of which imports what it needs when it is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for panel, commands in COMMANDS.items():
            for name, (place, sentence) in commands.items():
                module, _, function = place.partition(":")
                self.commands[name] = LazyCommand(
                    name, f"robench.cli.{module}", function, panel=panel, sentence=sentence
                )
