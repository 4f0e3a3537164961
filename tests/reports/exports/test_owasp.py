"""owasp.json: valid under its schema, and its diagnostics are robench's findings."""

import json

import pytest
from pydantic import TypeAdapter

from reports.exports.owasp import Owasp, document, json_schema
from reports.exports.owasp_layout import Document
from tests.records import changed
from tests.reports.exports import measured
from tests.reports.paper.made import B, R, record


def evaluations(records):
    return {(e.model, e.threat.perturbation_budget.eps): e for e in document(records).evaluations}


@pytest.fixture
def files(tmp_path):
    paths = Owasp()([*measured.boards(), *measured.minimal()], tmp_path)
    assert [p.name for p in paths] == ["owasp.json", "owasp.schema.json"]
    return [json.loads(p.read_text("utf-8")) for p in paths]


def test_the_file_is_valid_under_the_schema_beside_it(files):
    checker = pytest.importorskip("jsonschema")
    data, schema = files
    checker.Draft202012Validator.check_schema(schema)
    validator = checker.Draft202012Validator(schema)
    assert not list(validator.iter_errors(data))
    assert list(validator.iter_errors({**data, "more": 1}))
    del data["evaluations"][0]["threat"]["timing"]
    assert [e.validator for e in validator.iter_errors(data)] == ["required"]


def test_the_file_reads_back_as_the_document(files):
    data, schema = files
    assert schema == json.loads(json.dumps(json_schema()))
    document = TypeAdapter(Document).validate_python(data)
    assert {e.model for e in document.evaluations} == {"first", "second"}
    assert next(iter(data)) == "schema"
    assert "own" in data["layout"]


def test_the_seven_fields_of_the_threat():
    threat = evaluations(measured.boards())["first", 0.1].threat
    assert threat.knowledge == ("weights",)
    assert threat.access == ("gradients",)
    assert "every pixel value" in threat.input_control
    assert threat.goal == "untargeted"
    assert threat.perturbation_budget.norm == "Linf"
    assert threat.query_budget is None
    assert "inference time" in threat.timing
    any_size = evaluations(measured.minimal())["first", None]
    assert any_size.diagnostics.non_monotonic_in_budget.status == "not tested"


def diagnostics(*records):
    (one,) = document(records).evaluations[-1:]
    return one.diagnostics


MANY = 40
CLEAN = record("net", "clean", [R] * MANY)
WEAK = record("net", "pgd", [R] * MANY)


def blind(outcomes):
    return changed(record("net", "square", outcomes), attack={"needs": "score"})


def noise(outcomes):
    return changed(record("net", "noise", outcomes), attack={"needs": "decision", "control": True})


def test_a_black_box_attack_that_breaks_more_is_raised():
    one = diagnostics(CLEAN, WEAK, blind([B] * MANY)).black_box_beats_white_box
    assert (one.status, one.findings) == ("raised", ("black-box-stronger",))
    assert "square" in one.evidence
    assert one.comparisons == 1
    assert diagnostics(CLEAN, WEAK, blind([R] * MANY)).black_box_beats_white_box.status == "not raised"
    assert diagnostics(CLEAN, WEAK).black_box_beats_white_box.status == "not tested"


def test_noise_that_breaks_more_is_raised():
    one = diagnostics(CLEAN, WEAK, noise([B] * MANY)).random_noise_succeeds
    assert (one.status, one.findings) == ("raised", ("noise-stronger",))
    assert diagnostics(CLEAN, WEAK, noise([R] * MANY)).random_noise_succeeds.status == "not raised"
    assert diagnostics(CLEAN, WEAK).random_noise_succeeds.status == "not tested"


def test_a_larger_radius_that_breaks_fewer_is_raised():
    strong = record("net", "pgd", [B] * MANY)
    one = diagnostics(CLEAN, strong, record("net", "pgd", [R] * MANY, eps=0.6)).non_monotonic_in_budget
    assert (one.status, one.findings) == ("raised", ("larger-radius-weaker",))
    same = diagnostics(CLEAN, WEAK, record("net", "pgd", [B] * MANY, eps=0.6)).non_monotonic_in_budget
    assert same.status == "not raised"
    assert diagnostics(CLEAN, WEAK).non_monotonic_in_budget.status == "not tested"
