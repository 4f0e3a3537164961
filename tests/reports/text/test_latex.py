"""LaTeX tables: what they say is the board, and no name can break out of its cell."""

import re

from reports.board.leaderboard import boards
from reports.text.latex import LaTeX, escape
from tests.reports.board.test_leaderboard import TEN, B, R, record

HOSTILE = '\\input{/etc/passwd} & 100% $x_1^2$ #1 ~{}| \x1b[31m \u202e "<script>'


def test_a_row_holds_the_numbers_of_the_board():
    text = LaTeX().render(TEN)
    (board,) = boards(TEN)
    (line,) = [line for line in text.splitlines() if line.startswith("a ")]
    row = next(r for r in board.rows if r.model == "a")
    low, high = 100 * row.worst_case.low, 100 * row.worst_case.high
    assert line.endswith(rf"40.0 {{\small [{low:.1f}, {high:.1f}]}} \\")
    header = next(line for line in text.splitlines() if line.startswith("Model"))
    assert line.count(" & ") == header.count(" & ")
    columns = re.search(r"\\begin\{tabular\}\{(l r*|lr*)\}", text).group(1)
    assert len(columns) == header.count(" & ") + 1


def test_hostile_names_stay_in_their_cell():
    text = LaTeX().render([record(HOSTILE, "", "clean", [R] * 3, gradient=""),
                           record(HOSTILE, HOSTILE, "pgd", [B, R, R])])  # fmt: skip
    row = next(line for line in text.splitlines() if "passwd" in line)
    header = next(line for line in text.splitlines() if line.startswith("Model"))
    assert row.count(" & ") == header.count(" & ")
    assert "\\input" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_every_active_sign_is_escaped():
    assert escape("a_b%c&d$e#f{g}") == r"a\_b\%c\&d\$e\#f\{g\}"
    assert escape("\\") == r"\textbackslash{}"


def test_the_file_is_written(tmp_path):
    (path,) = LaTeX()(TEN, tmp_path)
    assert path.name == "leaderboard.tex"
    assert path.read_text("utf-8") == LaTeX().render(TEN)
