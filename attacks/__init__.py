"""Attacks, one algorithm a file, each a frozen recipe behind `robench.attack.Attack`. No torch at import.

A new attack needs a file in its family, its entry point in `pyproject.toml`, its paper in
`attacks/shared/papers.py`, and a sentence on when to use it in `docs_site/attack_uses.toml`.
"""
