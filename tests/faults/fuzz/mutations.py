"""Valid files, damaged in the ways that find faults in readers, and shrunk by hypothesis to what matters."""

import io
import struct
import warnings
import zipfile

from hypothesis import strategies as st

NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    1000,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**64 - 1,
)
PLACES = st.integers(0, 2**20)
FORMS = st.sampled_from(["<H", "<I", "<Q", ">H", ">I", ">Q"])
OPERATIONS = st.one_of(
    st.tuples(st.just("bit"), PLACES, st.integers(0, 7)),
    st.tuples(st.just("byte"), PLACES, st.integers(0, 255)),
    st.tuples(st.just("cut"), PLACES, st.just(0)),
    st.tuples(st.just("head"), PLACES, st.just(0)),
    st.tuples(st.just("delete"), PLACES, st.integers(1, 64)),
    st.tuples(st.just("repeat"), PLACES, st.integers(1, 64)),
    st.tuples(st.just("splice"), PLACES, PLACES),
    st.tuples(st.just("token"), PLACES, PLACES),
    st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=16)),
    st.tuples(st.just("number"), PLACES, st.tuples(st.sampled_from(NUMBERS), FORMS)),
)


def mutate(data, other, tokens, operations):
    """Return the data with a few operations done to it."""
    data = bytearray(data)
    for kind, place, value in operations:
        # Headers are where faults are: half of all places are among the first bytes.
        at = (place >> 1) % (min(len(data), 512) + 1) if place & 1 else (place >> 1) % (len(data) + 1)
        match kind:
            case "bit" if at < len(data):
                data[at] ^= 1 << value
            case "byte" if at < len(data):
                data[at] = value
            case "cut":
                del data[at:]
            case "head":
                del data[:at]
            case "delete":
                del data[at : at + value]
            case "repeat":
                data[at:at] = data[at : at + value] * (value % 7 + 1)
            case "splice":
                data[at:] = other[value % (len(other) + 1) :]
            case "token" if tokens:
                token = tokens[value % len(tokens)]
                data[at : at + (len(token) if value & 1 else 0)] = token
            case "insert":
                data[at:at] = value
            case "number":
                number, form = value
                field = struct.pack(form, number % (1 << 8 * struct.calcsize(form)))
                data[at : at + len(field)] = field
    return bytes(data)


@st.composite
def damaged(draw, seeds, tokens=(), most=6):
    """Draw a damaged copy of one of the seeds."""
    data, other = draw(st.sampled_from(seeds)), draw(st.sampled_from(seeds))
    return mutate(data, other, tokens, draw(st.lists(OPERATIONS, min_size=1, max_size=most)))


@st.composite
def damaged_members(draw, seeds, tokens=(), packings=(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)):
    """Draw a whole archive, with right checksums, around members that are damaged, renamed or gone."""
    data = draw(st.sampled_from(seeds))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    stream = io.BytesIO()
    target = draw(st.integers(0, len(members) - 1))
    packing = draw(st.sampled_from(packings))
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", packing) as archive:
        warnings.simplefilter("ignore")  # about two members of one name
        for number, (name, content) in enumerate(members):
            if number != target:
                archive.writestr(name, content)
            elif draw(st.integers(0, 9)):
                operations = draw(st.lists(OPERATIONS, max_size=4))
                other = members[draw(st.integers(0, len(members) - 1))][1]
                new_name = draw(
                    st.sampled_from(["", "", "", "../x", "/x", "a\\b", "x" * 60_000, "archive/version"])
                )
                archive.writestr(new_name or name, mutate(content, other, tokens, operations))
    return stream.getvalue()


@st.composite
def programs(draw, steps, most=40):
    """Draw a pickle: any steps one after the other, with a protocol before and an end behind."""
    body = b"".join(draw(st.lists(st.sampled_from(steps), max_size=most)))
    return b"\x80" + bytes([draw(st.sampled_from([2, 2, 4]))]) + body + b"."
