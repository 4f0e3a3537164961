"""Training defenses, one method per file, and the loop, schedule and resumable state they share.

A new defense needs a file here, its entry point in `pyproject.toml` and its paper in `defenses/papers.py`.
"""
