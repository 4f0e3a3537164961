"""Names beside a plot."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from reports.figures.labels import folded, heights, uncrossed

SHARE = st.floats(0, 1, allow_nan=False)


def cross(a, b, c, d):
    """Whether two lines cross, by solving for where they meet."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = a, b, c, d
    whole = (bx - ax) * (dy - cy) - (by - ay) * (dx - cx)
    if abs(whole) < 1e-12:
        return False
    s = ((cx - ax) * (dy - cy) - (cy - ay) * (dx - cx)) / whole
    t = ((cx - ax) * (by - ay) - (cy - ay) * (bx - ax)) / whole
    return 1e-6 < s < 1 - 1e-6 and 1e-6 < t < 1 - 1e-6


@settings(deadline=None)
@given(st.lists(SHARE, min_size=1, max_size=24).map(sorted), st.floats(0, 0.2))
def test_heights_keep_their_order_and_distance_and_stay_inside(wanted, gap):
    places = heights(wanted, gap)
    room = min(gap, 1 / max(1, len(wanted) - 1))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert all(after - before >= room - 1e-9 for before, after in pairwise(places))


def test_heights_that_fit_are_those_wanted():
    assert heights([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]
    assert heights([], 0.1) == []


@settings(deadline=None)
@given(st.lists(st.tuples(SHARE, SHARE), min_size=1, max_size=10, unique=True))
def test_no_two_lines_cross_and_every_point_has_a_place(points):
    places = [(1.03, height) for height in heights(sorted(y for _, y in points), 0.08)]
    order = uncrossed(points, places)
    assert sorted(order) == list(range(len(points)))
    ends = [(point, places[at]) for point, at in zip(points, order, strict=True)]
    assert not any(cross(*ends[i], *ends[j]) for i in range(len(ends)) for j in range(i))


def test_three_points_whose_names_in_order_of_height_would_cross():
    points = [(0.9, 0.50), (0.1, 0.52), (0.95, 0.48)]
    assert uncrossed(points, [(1.03, 0.2), (1.03, 0.5), (1.03, 0.8)]) != [1, 2, 0]


def test_a_long_name_is_folded_where_it_has_a_dash():
    assert folded("pgd-trained-wnll-2", 12) == "pgd-trained-\nwnll-2"
    assert folded("short", 12) == "short"
