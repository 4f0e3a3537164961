"""Records to boards: shares, intervals, findings and ranks as frozen plain data. No torch here.

Begin at `board_types` (what a board is) and `leaderboard` (how it is filled). `grouping` says which records
share one, `shares` counts, `missing_images` says what a row lacks, `row_checks`,
`cross_checks` and `certificate_checks` doubt.
"""
