"""Records to boards: shares, intervals, findings and ranks as frozen plain data. No torch here.

Begin at `board_types` (the data of a board) and `leaderboard` (how it is filled). `grouping` decides which
records share a board, `shares` counts, `missing_images` lists missing parts of a row, `row_checks`,
`cross_checks` and `certificate_checks` raise doubts.
"""
