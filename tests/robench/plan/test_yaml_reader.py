import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.errors import ConfigError
from robench.intake.limits import CONFIGURATION
from robench.plan.yaml_reader import MAX_ALIASES, read_file, read_text, read_value


def read(text):
    return read_text(text, source="f.yaml")


def test_plain_data_with_the_place_of_every_value():
    document = read("a: 1\nb:\n  - x\n  - {c: 2.5}\n")
    assert document.data == {"a": 1, "b": ["x", {"c": 2.5}]}
    assert document.where(("b", 1, "c")) == "f.yaml:4"
    assert document.where(("b", 1, "nothing")) == "f.yaml:4"
    assert document.where(("nothing",)) == "f.yaml:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("no", "no"), ("12:30:45", "12:30:45"), ("010", 10), ("0x10", 16), ("0o10", 8),
        ("true", True), ("~", None), ("8/255", "8/255"), ("2026-11-23", "2026-11-23"), ("'1'", "1"),
        ("-.inf", -math.inf), (".5", 0.5), ("1.", 1.0), ("+3", 3), ("!!str 12", "12"), ("!!int 12", 12),
        ("", None), ("[1, 2]", [1, 2]),
    ],
)  # fmt: skip
def test_scalars_mean_what_yaml_1_2_says(text, value):
    assert read_value(text, source="f") == value
    assert type(read_value(text, source="f")) is type(value)


BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 100))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x: 1\na: !!python/object/apply:os.system [ls]", 2, "tag"),
        ("a: !mine 3", 1, "!mine"),
        ("a: 1\nb: 2\na: 3", 3, "second time"),
        ("a:\n  {b: 1, b: 2}", 2, "second time"),
        ("[" * 3000, 1, "50 levels"),
        ("a: " + "{b: " * 3000, 1, "50 levels"),
        (BOMB, 6, "100000 values"),
        (CHAIN, 50, "50 levels"),
        ("a: &a [*a]", 1, "anchor"),
        ("a: *b", 1, "anchor"),
        ("a: &x 1\n" + "".join(f"b{i}: *x\n" for i in range(MAX_ALIASES + 1)), MAX_ALIASES + 2, "aliases"),
        ("", 1, "empty"),
        ("# nothing\n", 1, "empty"),
        ("---\n", 2, "empty"),
        ("a: 1\n---\nb: 2\n", 2, "second"),
        ("%YAML 1.1\n---\na: no\n", 2, "another"),
        ("a: [1,\nb: 2", 2, "YAML"),
        ("a: 1\n\tb: 2", 2, "YAML"),
        ("1: 2", 1, "text as a key"),
        ("? [a]\n: 1", 1, "text as a key"),
        ("a: 1\n<<: {b: 2}", 2, "<<"),
        ("a: " + "9" * 5000, 1, "5000 digits"),
        ("a: !!int x", 1, "tag"),
        ('a: "\\UFFFFFFFF"', 1, "YAML"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text, line, words):
    with pytest.raises(ConfigError) as error:
        read(text)
    assert str(error.value).startswith(f"f.yaml:{line}: ")
    assert words in str(error.value)


def test_a_file_too_large_or_not_utf_8_or_missing_is_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:2: expected text in UTF-8"):
        read_file(path)
    path.write_bytes(b"#" * (CONFIGURATION.most + 1))
    with pytest.raises(ConfigError, match="1 MiB"):
        read_file(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_file(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="a folder"):
        read_file(tmp_path)
    with pytest.raises(ConfigError):
        read_text("a" * (CONFIGURATION.most + 1), source="f")
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_file(path) == "a: 1"


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(alphabet="{}[]&*!|>:-,?#%@`'\"\\\n\t ab1~<xU", max_size=40)))
def test_any_text_gives_data_or_a_config_error(text):
    try:
        read(text)
    except ConfigError as refusal:
        error = refusal
    else:
        return
    assert str(error).startswith("f.yaml:")
