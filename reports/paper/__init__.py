"""The tables of Wang & Osher 2019 (arXiv:1907.06800), with our number, the published one and the difference.

`published` reads the paper's numbers and settings, `models` what we have, `matching` says which of ours
belongs to which row and column, `differences` what was measured otherwise, `layout` puts them together; its
shapes are `table_text` and `long_format`, `renderers` writes them. No torch here.
"""
