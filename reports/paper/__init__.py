"""The tables of Wang & Osher 2019 (arXiv:1907.06800), with our number, the published one and the difference.

`published` reads the paper's numbers and settings, `placing` says which of our models belongs to which row and
column, `deviations` what was measured otherwise, `layout` puts them together; `markdown`, `latex`, `csv` and
`screen` render. No torch here.
"""
