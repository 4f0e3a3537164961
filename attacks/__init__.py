"""Attacks, one algorithm a file, each a frozen recipe behind `robench.attack.Attack`. No torch at import.

A new one is a file of its family, its entry point in `pyproject.toml`, its paper in
`robench/papers.bib`, and the sentence that says when to use it in `docs_site/attack_uses.toml`.
"""
