"""One self-contained HTML page per run: no network, no torch, everything escaped, the same bytes each time.

The run folder is read into values (`board.run_folder`). Those become sections (`board_sections`,
`model_sections`, `training_sections`, `accuracy_curves`) made of tables (`table_values`, `leaderboard_table`,
`attack_tables`), pictures (`gallery`, `pixels`), figures (`inline_svg`), facts and sentences (`text.facts`,
`text.sentences`). A jinja2 template with autoescape writes the page (`template`). The script only sorts,
filters and opens; without it everything is still there to read.
"""
