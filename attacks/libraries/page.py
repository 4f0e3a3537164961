"""The tables of docs/libraries.md, made from those of the libraries: `python -m attacks.libraries.page`."""

from __future__ import annotations

from pathlib import Path

from attacks.libraries.table import Entry, read_table

LIBRARIES = ("torchattacks", "foolbox", "art", "adv_lib", "torchattack")
PAGE = Path(__file__).parents[2] / "docs" / "libraries.md"


def table_of(library: str) -> str:
    """Return the attacks of a library as a Markdown table, with its other names and what is left out."""
    table = read_table(library)
    aliases: dict[str, list[str]] = {}
    for alias, name in table.aliases.items():
        aliases.setdefault(name, []).append(alias)
    lines = ["| attack | paper | norms | looks for | sees | notes |", "|---|---|---|---|---|---|"]
    for name, entry in table.attacks.items():
        cells = (
            ", ".join(f"`{library}/{spelling}`" for spelling in (name, *aliases.get(name, ()))),
            entry.cite,
            ", ".join(entry.norms),
            {"fixed": "any in the ball", "smallest": "the smallest", "free": "any, no radius"}[entry.kind],
            {"gradient": "gradients", "score": "scores", "decision": "labels"}[entry.sees],
            _notes(entry),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Left out:" if table.left_out else "Nothing is left out.", ""]
    lines += [f"- `{name}`: {reason[0].lower()}{reason[1:]}." for name, reason in table.left_out.items()]
    return "\n".join(lines).rstrip()


def _notes(entry: Entry) -> str:
    parts = [
        *(["Untargeted only."] if entry.untargeted else []),
        *(["Targeted only."] if entry.targeted_only else []),
        *(["Randomised."] if entry.randomised else []),
        *(["An image's result depends on the others."] if entry.coupled else []),
        *(["Needs the name of a layer." if entry.options_named("feature_layer_cfg") else "Looks at layers."]
          if entry.layers else []),
        *([f"Needs `{', '.join(entry.needs)}`."] if entry.needs else []),
        *([entry.note] if entry.note else []),
    ]  # fmt: skip
    return " ".join(parts)


def with_tables(text: str) -> str:
    """Return the text of the page with a new table between each pair of marks."""
    for library in LIBRARIES:
        start, end = f"<!-- table: {library} -->", "<!-- end of table -->"
        before, rest = text.split(start, maxsplit=1)
        after = rest.split(end, maxsplit=1)[1]
        text = f"{before}{start}\n{table_of(library)}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
