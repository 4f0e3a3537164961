"""A format is found under every name that people know it by."""

import pytest

from robench import plugins
from robench.errors import ConfigError
from robench.format_names import FORMATS, PLUGINS, format_of, plugin_of


@pytest.mark.parametrize(
    ("text", "name"),
    [("tex", "tex"), ("latex", "tex"), ("LaTeX", "tex"), ("markdown", "md"), ("json", "json")],
)
def test_a_format_has_one_canonical_name(text, name):
    assert format_of(text) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tex", "latex"),
        ("latex", "latex"),
        ("md", "markdown"),
        ("model-index", "model_index"),
        ("OWASP", "owasp"),
    ],
)
def test_the_report_of_a_format(text, name):
    assert plugin_of(text) == name
    assert name in plugins.names("reports")


def test_every_format_has_a_report():
    assert {*PLUGINS} == {*FORMATS} - {"text"}
    assert {*PLUGINS.values()} <= {*plugins.names("reports")}


def test_anything_else_is_refused_and_the_nearest_named():
    with pytest.raises(
        ConfigError, match=r"--format: expected one of text, md, csv, json, tex, got 'jsn'.*'json'"
    ):
        format_of("jsn")
