"""The numbers of README.md, made again: `python -m benchmarks.readme_numbers [NAME ...] [--check]`.

Between `<!-- numbers: NAME -->` and `<!-- end of numbers -->` stands what this script puts there: `mine` and
`compare` are printed by the commands above them, `claim` is put together from docs/wnll-re-evaluation.md,
whose runs take hours. `--check` changes nothing and says which numbers came out otherwise; on another kind of
processor rows of trained models move by a few points.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "wnll-re-evaluation.md"
BLOCK = "<!-- numbers: {name} -->\n{text}<!-- end of numbers -->"
_BLOCKS = re.compile(r"<!-- numbers: (\w+) -->\n(.*?)<!-- end of numbers -->", re.DOTALL)
_FENCED = re.compile(r"```python\n(# net\.py.*?)```", re.DOTALL)
_EVAL = re.compile(r"^robench (eval net\.py:make .*)$", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])\d+\.\d+")
CLAIM = (
    ("Measured by", "softmax", "WNLL, same features", "WNLL, trained for it"),
    ("the published head and attack", "softmax", "softmax-published", "trained-published"),
    ("everything, image by image", "softmax", "softmax-wnll", "trained-wnll"),
)
"""Header of the table of the claim, then its rows: title, and the columns of the page that fill it."""
ROWS = {"the published head and attack": "published", "everything, image by image": "worst case"}


def blocks(readme: str) -> dict[str, str]:
    """Return what stands between the markers of a README, by name."""
    return dict(_BLOCKS.findall(readme))


def put(readme: str, name: str, text: str) -> str:
    """Return a README with other text between the markers of a name."""
    old = BLOCK.format(name=name, text=blocks(readme)[name])
    return readme.replace(old, BLOCK.format(name=name, text=text))


def claim(page: str) -> str:
    """Return the table of the WNLL claim from the page of its evaluation.

    Args:
        page: text of docs/wnll-re-evaluation.md.
    """
    table = page[page.index("| attack | gradient source |") :].split("\n\n", maxsplit=1)[0]
    header, _, *rows = (
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()
    )
    by_attack = {row[0]: dict(zip(header, row, strict=False)) for row in rows}
    lines = [list(CLAIM[0]), ["---"] * len(CLAIM[0])]
    for title, *columns in CLAIM[1:]:
        lines.append([title, *(by_attack[ROWS[title]][column] for column in columns)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def mine(folder: Path) -> str:
    """Return the board of the README's own network, evaluated by one line.

    Args:
        folder: where net.py and the run lie.
    """
    (code,) = _FENCED.findall(README.read_text("utf-8"))
    (folder / "net.py").write_text(code)
    (command,) = _EVAL.findall(README.read_text("utf-8"))
    return board(robench(command, folder))


def compare(folder: Path) -> str:
    """Return the first board of the suite `digits`.

    Args:
        folder: where the run lies.
    """
    return board(robench("run digits --out runs/digits --threads 1", folder))


def robench(command: str, folder: Path) -> str:
    """Return what a command prints; a run that is there already is shown without being done again."""
    words = [sys.executable, "-m", "robench", *command.split()]
    wide = {**os.environ, "COLUMNS": "200"}
    outcome = subprocess.run(words, cwd=folder, env=wide, stdout=subprocess.PIPE, text=True, check=True)
    return outcome.stdout


def board(text: str) -> str:
    """Return the first board of what a command printed, as a block of Markdown."""
    lines = [line.rstrip() for line in text.splitlines()]
    rule = next(at for at, line in enumerate(lines) if line.strip() and set(line.strip()) == {"─"})
    end = next(at for at in range(rule, len(lines)) if not lines[at])
    return "```\n" + "\n".join(lines[:end]) + "\n```\n"


def largest_gap(before: str, after: str) -> float:
    """Return the largest difference of two numbers in the same place; infinity where words differ.

    Example:
        >>> round(largest_gap("a 1.0 b 3.5", "a 1.5  b 3.5"), 2)
        0.5
    """
    if _NUMBER.sub("#", before).split() != _NUMBER.sub("#", after).split():
        return float("inf")
    pairs = zip(_NUMBER.findall(before), _NUMBER.findall(after), strict=True)
    return max((abs(float(one) - float(other)) for one, other in pairs), default=0.0)


def main() -> None:
    """Make the numbers again, and write or check the README."""
    makers: dict[str, Callable[[Path], str]] = {
        "mine": mine,
        "compare": compare,
        "claim": lambda _: claim(PAGE.read_text("utf-8")),
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme_numbers", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(makers)}; all by default"
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if a number differs"
    )
    parser.add_argument(
        "--folder", type=Path, help="where runs are kept, to go on with; else a temporary one"
    )
    arguments = parser.parse_args()
    if strangers := set(arguments.names) - set(makers):
        parser.error(f"unknown: {', '.join(sorted(strangers))}; choose from {', '.join(makers)}")
    before = after = README.read_text("utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name in arguments.names or makers:
            text = makers[name](folder)
            gap = largest_gap(blocks(before)[name], text)
            print(f"{name}: {'as before' if not gap else f'differs, by {gap:g} at most'}")
            after = put(after, name, text)
    if arguments.check:
        sys.exit(after != before)
    README.write_text(after, "utf-8")


if __name__ == "__main__":
    main()
