"""Boards as text: screen, Markdown, CSV, JSON, LaTeX and BibTeX. No torch here."""
