"""A second reader of BibTeX, by counting braces line by line of thought: for tests only."""

import re


def parse(text):
    """Return {key: (kind, fields)}; asserts that braces balance, fields are whole and keys are unique."""
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    entries = {}
    for piece in re.split(r"(?=@\w+\{)", bare):
        chunk = piece.strip()
        if not chunk.startswith("@"):
            assert not chunk, f"text outside an entry: {chunk!r}"
            continue
        braces = chunk.replace("\\{", "").replace("\\}", "")
        assert braces.count("{") == braces.count("}"), chunk
        assert chunk.endswith("}"), chunk
        kind, rest = chunk[1:-1].split("{", 1)
        key, body = rest.split(",", 1)
        assert re.fullmatch(r"[\w:-]+", key), key
        assert key not in entries, f"{key} twice"
        entries[key] = (kind, dict(_fields(body)))
    return entries


def _fields(body):
    depth, piece, pieces = 0, "", []
    for sign in body:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
        if sign == "," and depth == 0:
            pieces.append(piece)
            piece = ""
        else:
            piece += sign
    assert depth == 0
    for part in [*pieces, piece]:
        if part.strip():
            name, value = part.split("=", 1)
            assert value.strip()[0] == "{"
            assert value.strip()[-1] == "}"
            yield name.strip(), value.strip()[1:-1]
