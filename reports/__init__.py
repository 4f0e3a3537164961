"""Records in, pages out: leaderboards for the screen, CSV, Markdown and JSON. No torch here.

`leaderboard.boards` turns records into values; each file named after a format renders them. A plugin of the
group `robench.reports` is a frozen recipe with an `info` and, for a format that is written to files,
`render(records) -> str` and `__call__(records, folder) -> list[Path]`.
"""
