"""Configurations that are valid, and what hostile ones are made of."""

from hypothesis import strategies as st

from robench.plan.config import SUITES, parse
from robench.plan.yaml_reader import read_file, read_text
from tests.faults.fuzz.mutations import damaged

YAML = (
    (SUITES / "digits.yaml").read_bytes(),
    (SUITES / "wnll-re-evaluation.yaml").read_bytes(),
    b"%YAML 1.2\n---\na: &x [1, 2, .inf, -.5, 0x1F, 0o7, ~, true]\nb: *x\nc: |\n  text\n  more\n"
    b"d: >-\n  folded\n"
    b'e: "quo\\u0041ted\\n"\nf: !!str 5\n? g\n: {h: [i, {j: k}]}\n# comment\n...\n',
)
YAML_TOKENS = [
    b"&a ",
    b"*a ",
    b"!!python/object:os.system ",
    b"!<tag:x> ",
    b"<<: ",
    b"? ",
    b": ",
    b"- ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"|\n",
    b">\n",
    b"---\n",
    b"...\n",
    b"%TAG ! x\n",
    b"\t",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\\x",
    b"'",
    b'"',
    b"\r",
    b"0x" + b"f" * 5000,
    b"9" * 5000,
    b"1e999999",
    b"\xe2\x80\xa8",
    b"\xc2\x85",
    b"  " * 100,
    b"null",
    b"\n",
]
yaml_text = st.one_of(
    damaged(YAML, YAML_TOKENS, most=10),
    st.lists(st.sampled_from([*YAML_TOKENS, b"a", b"b", b" ", b","]), max_size=60).map(b"".join),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
)


def read_yaml(folder, data):
    path = folder / "c.yaml"
    path.write_bytes(data)
    text = read_file(path)
    assert read_text(text, source="c.yaml").data is not None
    assert parse(text, file=path).models
