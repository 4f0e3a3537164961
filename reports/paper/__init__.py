"""The tables of Wang & Osher 2019 (arXiv:1907.06800), with our number, the published one and the difference.

`published` reads the paper's numbers and settings, `our_models` what we have, `placing` says which of ours
belongs to which row and column, `differences` what was measured otherwise, `layout` puts them together; its
shapes are `cells` and `long`, `renderers` writes them. No torch here.
"""
