"""Tables as values: what a table leaves out, it says."""

from reports.board.leaderboard import boards
from reports.html import attack_tables
from reports.html.attack_tables import heat_map
from tests.reports.board.test_leaderboard import TEN


def test_a_heat_map_shows_the_first_models_of_a_board_and_says_how_many(monkeypatch):
    (board,) = boards(TEN)
    names = [row.model for row in board.rows]
    whole = heat_map(board, name="x")
    assert [column.title for column in whole.columns[1:]] == [row[0].text for row in whole.rows] == names
    assert "The first" not in whole.caption
    monkeypatch.setattr(attack_tables, "MOST_MODELS", 1)
    part = heat_map(board, name="x")
    assert [column.title for column in part.columns[1:]] == [row[0].text for row in part.rows] == names[:1]
    assert part.rows[0] == whole.rows[0][:2]
    assert part.caption.endswith(f"The first 1 of {len(names)} models of the board are shown.")
