"""Training defenses, one method per file, and the loop, schedule and resumable state they share.

A new one is a file here, its entry point in `pyproject.toml` and its paper in `robench/papers.bib`.
"""
