"""Attacks, one algorithm a file, each a frozen recipe behind `robench.attack.Attack`. No torch at import."""
