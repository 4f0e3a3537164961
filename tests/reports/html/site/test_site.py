"""A site of many runs: what may be compared shares a board, and everything else is kept apart and said."""

import re
from dataclasses import replace

import pytest

from reports.board.joined_names import names_of_weights, one_fingerprint, under_first_names
from reports.board.leaderboard import boards_of
from reports.board.many_runs import boards_of_many_runs
from reports.html.site.model_runs import NOT_JUDGED_AGAIN
from reports.html.site.site import check_folder, model_file, site_pages, write_site
from robench.errors import ConfigError
from robench.record.exchange.board_entry import BoardEntry
from robench.record.planned import PlannedRun, PlannedThreat
from robench.record.schema import Finding
from robench.record.threat_summary import threat_summary_of
from tests.records import changed
from tests.reports.html.page_parser import parse
from tests.reports.html.synthetic import made

ALARM = "<script>alert(1)</script>"


def entry(root, title, models, *, images=200, attacks=("attack-0", "attack-1"), day="2026-01-02", **fields):
    """Return a run of (name, number of its weights) models."""
    records = []
    for name, seed in models:
        for attack in ("clean", *attacks):
            record = made(name, attack, 0, images, images, seed=seed)
            record = changed(record, dataset={"set": f"the first {images}", "digest": f"{images}"})
            records.append(record.noting(key=f"{title}-{record.key}-{name}"))
    return BoardEntry(title=title, root=root, records=tuple(records), day=day, **fields)


def rows(entries):
    boards = boards_of(boards_of_many_runs(record for one in entries for record in one.records))
    return {(board.n, row.model): row for board in boards for row in board.rows}


def robust(records):
    """Return how many images stood in every record, by a loop."""
    fell = set()
    for record in records:
        for index, status in zip(record.columns.index, record.columns.status, strict=True):
            fell |= {index} if str(status) != "robust" else set()
    return len(records[0].columns) - len(fell)


def test_runs_of_one_setting_share_a_board_and_others_do_not(tmp_path):
    first = entry(tmp_path, "first", [("a", 1), ("b", 5)])
    second = entry(tmp_path, "second", [("c", 3)])
    fewer = entry(tmp_path, "fewer", [("d", 2)], images=150)
    made_rows = rows([first, second, fewer])
    assert set(made_rows) == {(200, "a"), (200, "b"), (200, "c"), (150, "d")}
    text = site_pages([first, second, fewer], title="many")["index.html"]
    assert text.count('<section class="board"') == 2
    assert text.count("Measured on other images too, and so never ranked with these") == 2


def test_the_worst_case_is_over_everything_that_any_run_tried(tmp_path):
    early = entry(tmp_path, "early", [("net", 3)], attacks=("attack-0",))
    late = entry(tmp_path, "late", [("net", 3)], attacks=("attack-1", "attack-02"), day="2026-05-06")
    attempts = [record for one in (early, late) for record in one.records]
    row = rows([early, late])[200, "net"]
    assert row.worst_case.count == robust(attempts)
    assert row.worst_case.count < robust(early.records)
    pages = site_pages([late, early], title="many")
    page = next(text for name, text in pages.items() if name.startswith("models/"))
    history = page.partition("History")[2]
    assert history.index("2026-01-02") < history.index("2026-05-06")
    for one in (early, late):
        assert f"{100 * robust(one.records) / 200:.1f}" in history


def test_a_row_that_met_fewer_attacks_has_no_rank_and_one_more_attack_costs_nobody_a_rank(tmp_path):
    full = entry(tmp_path, "full", [("a", 1), ("b", 5)])
    few = entry(tmp_path, "few", [("c", 3)], attacks=("attack-0",))
    more = entry(tmp_path, "more", [("d", 6)], attacks=("attack-0", "attack-1", "attack-02"))
    table = rows([full, few, more])
    assert table[200, "c"].rank is None
    assert "not attacked by attack-1" in table[200, "c"].lacks
    assert all(table[200, name].rank for name in "abd")
    text = re.sub(r"<[^>]+>", "", site_pages([full, few, more], title="many")["index.html"])
    assert "A rank asks for those that more than half of the rows met: attack-0, attack-1." in text


def test_rows_that_met_no_attack_in_common_have_no_rank(tmp_path):
    one = entry(tmp_path, "one", [("a", 1)], attacks=("attack-0",))
    other = entry(tmp_path, "other", [("b", 5)], attacks=("attack-1", "attack-02"))
    table = rows([one, other])
    assert [table[200, name].rank for name in "ab"] == [None, None]
    assert "not attacked by attack-0" in table[200, "b"].lacks
    assert "not attacked by attack-1" in table[200, "a"].lacks
    text = re.sub(r"<[^>]+>", "", site_pages([one, other], title="two")["index.html"])
    assert "A rank asks for all, for none was met by more than half of the rows: " in text


def test_two_models_of_one_name_are_two_rows_and_two_pages(tmp_path):
    entries = [entry(tmp_path, "first", [("net", 1)]), entry(tmp_path, "second", [("net", 4)])]
    pages = site_pages(entries, title="many")
    assert len([name for name in pages if name.startswith("models/")]) == 2
    assert len({model for _, model in rows(entries)}) == 2


def test_one_model_under_two_names_is_one_row_with_the_worst_of_both(tmp_path):
    first = entry(tmp_path, "first", [("net", 1), ("b", 5)], attacks=("attack-0",))
    second = entry(tmp_path, "second", [("other", 1)], attacks=("attack-1", "attack-02"))
    plan = PlannedRun(models=("other",), threats=(), digest="p", seed="0")
    second = replace(
        second,
        records=tuple(replace(record, planned=plan) for record in second.records),
        judged_again={"other": "as recorded"},
    )
    names = names_of_weights([first, second])
    assert sorted(names.values()) == [("b",), ("net", "other")]
    entries = under_first_names([first, second], names)
    assert entries[0] is first
    assert {record.target.name for record in entries[1].records} == {"net"}
    assert {record.source.name for record in entries[1].records if not record.attack.is_clean} == {"net"}
    assert {record.planned.models for record in entries[1].records} == {("net",)}
    assert entries[1].judged_again == {"net": "as recorded"}
    table = rows(entries)
    assert set(table) == {(200, "net"), (200, "b")}
    attempts = [r for one in entries for r in one.records if r.target.name == "net" and not r.attack.is_clean]
    assert table[200, "net"].worst_case.count == robust(attempts)
    text = site_pages([first, second], title="many")["index.html"]
    assert "The same weights under several names, in one row: net, other." in text
    assert "no record" not in text


def cells_of(text, column):
    """Return the texts in a column of the first table of a page that has it."""
    table = next(one for one in re.findall(r"<table.*?</table>", text, re.S) if f">{column}<" in one)
    plain = [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
        for row in re.findall(r"<tr.*?</tr>", table, re.S)
    ]
    at = next(i for i, cell in enumerate(plain[0]) if cell.startswith(column))
    return [row[at] for row in plain[1:]]


def with_threat(one, eps):
    """Return a run under another radius."""
    records = (
        r if r.attack.is_clean else changed(r, threat={"eps": eps, "eps_text": str(eps)}) for r in one.records
    )
    return replace(one, records=tuple(records))


def test_the_history_tells_what_each_run_calls_the_model(tmp_path):
    entries = [entry(tmp_path, "first", [("net", 1)]), entry(tmp_path, "second", [("other", 1)])]
    pages = site_pages(entries, title="many")
    page = next(text for name, text in pages.items() if name.startswith("models/"))
    assert cells_of(page.partition("History")[2], "Called") == ["net", "other"]


def test_a_row_names_the_runs_and_names_of_its_own_board_only(tmp_path):
    first = entry(tmp_path, "first", [("net", 1)])
    second = with_threat(entry(tmp_path, "second", [("other", 1)]), 0.3)
    text = site_pages([first, second], title="many")["index.html"]
    boards = text.split('<section class="board"')[1:]
    assert [cells_of(board, "Runs") for board in boards] == [["first"], ["second"]]
    assert "several names" not in text
    plain = [re.sub(r"<[^>]+>", "", board) for board in boards]
    assert ["net is called other in what was measured here." in board for board in plain] == [False, True]


def test_a_row_of_many_runs_names_the_first_and_counts_the_others(tmp_path):
    entries = [entry(tmp_path, f"run-{number}", [("net", 1)]) for number in range(5)]
    pages = site_pages(entries, title="many")
    assert cells_of(pages["index.html"], "Runs") == ["run-0, run-1, run-2, and 2 more"]
    page = next(text for name, text in pages.items() if name.startswith("models/"))
    assert cells_of(page.partition("History")[2], "Run") == [f"run-{number}" for number in range(5)]


def test_boards_of_one_title_tell_their_images_apart_and_a_lonely_one_does_not(tmp_path):
    first = entry(tmp_path, "first", [("net", 1)])
    second = entry(tmp_path, "second", [("net", 1)])
    others = tuple(
        changed(r, dataset={"set": "beef0123", "digest": "beef", "name": r.dataset.name.upper()})
        for r in second.records
    )
    second = replace(second, records=others)
    pages = site_pages([first, second], title="many")
    boards = pages["index.html"].split('<section class="board"')[1:]
    headings = [re.search(r"<h2.*?</h2>", board, re.S).group() for board in boards]
    assert ["200 images (the fi)" in heading for heading in headings] == [True, False]
    assert ["200 images (beef01)" in heading for heading in headings] == [False, True]
    assert all("Measured on other images too" in board for board in boards)
    page = next(text for name, text in pages.items() if name.startswith("models/"))
    history = cells_of(page.partition("History")[2], "Board")
    assert [("the fi" in cell, "beef01" in cell) for cell in history] == [(True, False), (False, True)]
    assert "(the fi)" not in site_pages([first], title="one")["index.html"]


def test_a_model_measured_on_the_same_images_under_another_threat_is_on_no_other_board(tmp_path):
    first = entry(tmp_path, "first", [("a", 1)])
    second = entry(tmp_path, "second", [("b", 2)])
    stronger = tuple(
        r if r.attack.is_clean else changed(r, threat={"eps": 0.3, "eps_text": "0.3"}) for r in second.records
    )
    boards = boards_of(boards_of_many_runs((*first.records, *stronger)))
    assert sorted((board.eps_text, row.model) for board in boards for row in board.rows) == [
        ("0.1", "a"), ("0.3", "b"),
    ]  # fmt: skip


def test_attacks_of_a_file_of_their_own_cost_others_no_rank(tmp_path):
    usual = entry(tmp_path, "usual", [("a", 1), ("b", 2)], attacks=("attack-0",))
    own = entry(tmp_path, "own", [("c", 3), ("d", 4), ("e", 5)], attacks=("attack-0", "attack-1"))
    foreign = tuple(
        changed(r, attack={"name": "mine.py:cheater"}) if r.attack.label == "attack-1" else r
        for r in own.records
    )
    (board,) = boards_of(boards_of_many_runs((*usual.records, *foreign)))
    assert not [row.model for row in board.rows if row.partial]
    (board,) = boards_of(boards_of_many_runs((*usual.records, *own.records)))
    assert {row.model for row in board.rows if row.partial} == {"a", "b"}
    alone = [r for r in foreign if r.attack.label != "attack-0"]
    (board,) = boards_of(boards_of_many_runs((*usual.records, *alone)))
    assert {row.model for row in board.rows if row.partial} == {"c", "d", "e"}
    (board,) = boards_of(boards_of_many_runs(alone))
    assert not [row.model for row in board.rows if row.partial]


def planned(run, digest, attacks, models):
    """Return a run whose plan asks for some attacks on some models."""
    threat = threat_summary_of(next(r.threat for r in run.records if not r.attack.is_clean))
    threats = (PlannedThreat(threat=threat, eps_text="0.1", attacks=attacks),)
    plan = PlannedRun(models=models, threats=threats, digest=digest, seed="0")
    return [replace(record, planned=plan) for record in run.records]


def test_an_interrupted_run_of_the_same_weights_costs_a_finished_row_nothing(tmp_path):
    both = ("attack-0", "attack-1")
    first = entry(tmp_path, "finished", [("a", 1), ("b", 5)])
    second = entry(tmp_path, "begun", [("a", 1)], attacks=("attack-0",))
    whole = planned(first, "p", both, ("a", "b"))
    part = planned(second, "q", both, ("a", "b"))
    (board,) = boards_of(boards_of_many_runs((*whole, *part)))
    assert [(row.model, row.missing) for row in board.rows] == [("a", ()), ("b", ())]
    assert [row.rank for row in board.rows] == [1, 2]
    (board,) = boards_of(boards_of_many_runs(part))  # alone it lacks what its plan asks for
    assert [(row.model, row.partial, row.rank) for row in board.rows] == [
        ("a", True, None),
        ("b", True, None),
    ]
    entries = [first, replace(second, records=tuple(part)), replace(first, title="all", records=tuple(whole))]
    text = site_pages(entries, title="many")["index.html"]
    states = re.findall(r"a run folder</td><td class=.number.>\d+</td><td>([^<]*)</td>", text)
    assert states == ["-", "not carried out: 2 rows not complete", "carried out"]


def test_a_run_that_asked_for_another_threat_finishes_no_row_of_this_one(tmp_path):
    begun_run = entry(tmp_path, "second", [("a", 1)], attacks=("attack-0",))
    part = planned(begun_run, "q", ("attack-0", "attack-1"), ("a",))
    clean_run = entry(tmp_path, "first", [("a", 1)], attacks=())
    plan = PlannedRun(models=("a",), threats=(), digest="p", seed="0")
    clean = [replace(record, planned=plan) for record in clean_run.records]
    (board,) = [b for b in boards_of(boards_of_many_runs((*clean, *part))) if b.norm]
    (row,) = board.rows
    assert (row.rank, row.partial) == (None, True)
    assert any("attack-1" in text for text in row.missing)


def test_an_attack_that_an_interrupted_run_alone_tried_on_a_part_is_told(tmp_path):
    first = entry(tmp_path, "finished", [("a", 1), ("b", 5)], attacks=("attack-0",))
    second = entry(tmp_path, "begun", [("a", 1)], attacks=("attack-0",))
    piece = changed(made("a", "attack-1", 0, 50, 200, seed=1), dataset={"set": "the first 200"})
    second = replace(second, records=(*second.records, piece))
    part = planned(second, "q", ("attack-0", "attack-1"), ("a",))
    (board,) = boards_of(boards_of_many_runs((*planned(first, "p", ("attack-0",), ("a", "b")), *part)))
    row = next(row for row in board.rows if row.model == "a")
    assert row.missing == ("attack-1 through exact 50 of 200 images",)


def test_hostile_names_are_text_and_pages_have_safe_names(tmp_path):
    entries = [entry(tmp_path, ALARM, [(ALARM, 1), ("../../x", 2), ("\u202egpj", 3), ("", 4)])]
    pages = site_pages(entries, title=ALARM)
    assert len(pages) == 5
    for name, text in pages.items():
        assert re.fullmatch(r"index\.html|models/[a-z0-9-]+\.html", name), name
        assert ALARM not in text
        assert "\u202e" not in text
        parse(text)


def test_every_link_between_the_pages_leads_somewhere(tmp_path):
    entries = [
        entry(tmp_path, "first", [("a", 1), ("b", 5)]),
        entry(tmp_path, "second", [("c", 3)], images=150),
    ]
    pages = site_pages(entries, title="many")
    places = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    links = 0
    for name, text in pages.items():
        for href in re.findall(r'href="([^"]+)"', text):
            if href.startswith("data:"):
                continue
            file, _, part = href.partition("#")
            page = file.removeprefix("../") or name
            assert page in pages, (name, href)
            assert not part or part in places[page], (name, href)
            links += 1
    assert links > 20


def remarks_on(text, name, row):
    """Return the text of the remarks in the row of a table that begins so, and where their links lead."""
    (table,) = [one for one in parse(text).all("table") if one.attributes.get("id") == name]
    lines = [list(line.all("th", "td")) for line in table.all("tr")]
    place = [cell.text.strip() for cell in lines[0]].index("Remarks")
    (cell,) = [
        line[place] for line in lines if any(head.tag == "th" and head.text.startswith(row) for head in line)
    ]
    return " ".join(cell.text.split()), [link.attributes["href"] for link in cell.all("a")]


def test_the_page_of_a_model_has_the_remarks_of_its_board(tmp_path):
    full = entry(tmp_path, "full", [("in-doubt", 1), ("lifted", 5)])
    finding = Finding(code="saturated-output", evidence="e", remedy="r")
    records = tuple(
        r.noting(findings=(finding,)) if r.target.name == "in-doubt" or r.attack.label == "attack-0" else r
        for r in full.records
    )
    few = entry(tmp_path, "few", [("partial", 3)], attacks=("attack-0",))
    pages = site_pages([replace(full, records=records), few], title="many")
    remarks = {}
    for name in ("in-doubt", "lifted", "partial"):
        remarks[name], links = remarks_on(pages["index.html"], "board-0-table", name)
        (page,) = [text for file, text in pages.items() if file.startswith(f"models/{name}-")]
        of_page = remarks_on(page, "standing", "toy test")
        assert of_page == (remarks[name], [f"../index.html{link}" for link in links])
        assert all(f'id="{link[1:]}"' in pages["index.html"] for link in links)
    assert remarks["in-doubt"].startswith("its loss is exactly zero where it is sure")
    assert remarks["lifted"] == "1 lifted"
    assert remarks["partial"] == "partial: not attacked by attack-1"


def test_what_was_not_asked_again_is_marked_and_what_was_says_how(tmp_path):
    entries = [
        entry(tmp_path, "first", [("a", 1)], judged_again={"a": "holds: 99 images, all as stated"}),
        entry(tmp_path, "second", [("b", 2)]),
    ]
    text = site_pages(entries, title="many")["index.html"]
    assert "holds: 99 images, all as stated" in text
    assert text.count(f"<bdi>{NOT_JUDGED_AGAIN}</bdi>") == 1


def test_a_finding_on_every_record_of_a_model_leaves_it_without_a_rank(tmp_path):
    good = entry(tmp_path, "first", [("a", 1), ("b", 2)])
    finding = Finding(code="not-reproduced", evidence="e", remedy="r")
    records = tuple(r.noting(findings=(finding,)) if r.target.name == "b" else r for r in good.records)
    (board,) = boards_of(boards_of_many_runs(records))
    assert [(row.model, row.rank) for row in board.rows] == [("a", 1), ("b", None)]


@pytest.mark.thorough
def test_the_same_runs_give_the_same_pages_and_stale_ones_go(tmp_path):
    folder = tmp_path / "site"
    both = [entry(tmp_path, "first", [("a", 1), ("b", 5)])]
    first = {path.name: path.read_bytes() for path in write_site(both, folder, title="t")}
    assert first == {path.name: path.read_bytes() for path in write_site(both, folder, title="t")}
    write_site([entry(tmp_path, "first", [("a", 1)])], folder, title="t")
    assert [path.name for path in (folder / "models").iterdir()] == [
        model_file(f"{1:064x}:a", "a").removeprefix("models/")
    ]


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="a folder with other files"):
        check_folder(tmp_path)
    with pytest.raises(ConfigError, match="got a file"):
        check_folder(tmp_path / "thesis.tex")


def test_one_network_from_two_folders_is_one_row_and_other_code_or_weights_are_not(tmp_path):
    def of(title, fingerprint, path, code="c", weights="w", attacks=("attack-0",), **more):
        details = {"architecture": f"{path}:make", "code_sha256": code, "checkpoint": weights}
        details |= {"head": "linear", "features_of": None, **more}
        one = entry(tmp_path, title, [("net", 1)], attacks=attacks)
        target = {"details": details, "fingerprint": fingerprint}
        records = [changed(r, target=target, source={"fingerprint": fingerprint}) for r in one.records]
        return replace(one, records=tuple(records))

    mine = of("mine", "aa", "/home/a/net.py")
    yours = of("yours", "bb", "/home/b/copy.py", attacks=("attack-0", "attack-1"))
    both = one_fingerprint([mine, yours])
    assert {r.target.fingerprint for one in both for r in one.records} == {"aa"}
    (row,) = rows(both).values()
    attacks = [r for one in both for r in one.records if not r.attack.is_clean]
    assert row.worst_case.count == robust(attacks)
    for other in (
        of("yours", "bb", "/home/b/net.py", code="d"),
        of("yours", "bb", "/home/b/net.py", weights="v"),
        of("yours", "bb", "torchvision"),
        of("yours", "bb", "/home/b/net.py", head="wnll"),
        of("yours", "bb", "/home/b/net.py", defense="noise"),
    ):
        assert len(rows(one_fingerprint([mine, other]))) == 2
    ema, model = (of(k, k, "/home/a/net.py", checkpoint_key=k) for k in ("ema", "model"))
    assert len(rows(one_fingerprint([ema, model]))) == 2  # two parts of one file
    assert len(rows(one_fingerprint([mine, model]))) == 1  # the one part that there is, by its name
    several = of("mine", "cc", "/home/c/net.py", checkpoint_notes=["of 2 sets the first"])
    assert len(rows(one_fingerprint([several, model]))) == 2  # one of several, and which is not known
