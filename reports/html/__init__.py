"""One self-contained HTML page per run: no network, no torch, everything escaped, the same bytes each time.

The run folder is read into values (`folder`). Those become sections (`board_sections`, `model_sections`,
`curves`, `facts`) made of tables (`tables`), pictures (`gallery`, `pixels`), figures (`inline_svg`) and
sentences (`words`). A jinja2 template with autoescape writes the page (`template`). The script only sorts,
filters and opens; without it everything is still there to read.
"""
