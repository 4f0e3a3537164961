"""A submission: one file with everything a board needs of a run, and images to judge its models again.

It is a zip archive of a run folder without weights and without most of the images::

    submission.json           name, day and schema, and the SHA-256 of every other file
    plan.json run.json finished.txt   as in the run folder
    units/<key>.json          one record each, byte for byte
    models/<key>/             card and history of a training, no weights
    cards/<model>.md          model cards
    broken/<key>.safetensors  for each broken image, the adversarial image with the smallest change

The digests detect damage; they are not a signature. What the records say is checked against itself
(`robench.record.exchange.consistency`). No torch here.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from robench.errors import ConfigError, InputError, StorageError
from robench.intake.archives import open_archive, read_member
from robench.intake.limits import SUBMISSION, SUBMITTED, SUBMITTED_FILES
from robench.record.exchange.broken_images import FOLDER, member_of, of_run, packed
from robench.record.exchange.consistency import check_images, check_records
from robench.record.files import MOST_RECORD, MOST_TEXT, open_regular, read_regular, write_atomic
from robench.record.journal import JOURNAL
from robench.record.schema import Record
from robench.record.store import Fault, Store
from robench.record.strict_json import described

MANIFEST = "submission.json"
SCHEMA = 1
_KEY = r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}"
_NAME = re.compile(
    rf"plan\.json|run\.json|{re.escape(JOURNAL)}|units/{_KEY}\.json|{FOLDER}/{_KEY}\.safetensors"
    rf"|models/{_KEY}/(weights\.card\.yaml|history\.csv)|cards/[0-9A-Za-z_-][0-9A-Za-z._-]{{0,127}}\.md",
    re.ASCII,
)
"""All names that a submission may have, so that no path leads out of it."""
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An unpacked submission.

    Attributes:
        root: its folder, which is deleted at the end of the block.
        name: name of its run.
        day: when it was measured, `YYYY-MM-DD`; empty if unknown.
        records: its records, which agree with themselves and with its images.
        faults: its unreadable parts.
    """

    root: Path
    name: str
    day: str
    records: tuple[Record, ...]
    faults: tuple[Fault, ...]


def write_submission(run: Path, out: Path) -> int:
    """Write the submission of a run folder and return its bytes; the same folder gives the same file.

    Raises:
        ConfigError: the run has no finished unit.
        StorageError: a record or a file of images is damaged or missing, a record does not agree with
            itself, or writing to disk failed.
    """
    store = Store(run)
    records, faults = store.readable()
    if faults:
        first = faults[0]
        do = "Run the same `robench run` command again: it makes anew what is damaged"
        raise StorageError(
            where=str(run / first.about), expected="a run that can be read", got=first.text, do=do
        )
    if not records:
        raise ConfigError(where=str(run), expected="at least one finished unit", got="none")
    try:
        check_records(records)
    except StorageError as error:
        where, do = str(run / error.where), "Delete the file and give the command of the run again"
        raise StorageError(where=where, expected=error.expected, got=error.got, do=do) from None
    files: dict[str, bytes] = {}
    for name in ("plan.json", "run.json", JOURNAL):
        if (data := read_regular(run / name, most=MOST_TEXT)) is not None:
            files[name] = data
    for record in records:
        files[f"units/{record.key}.json"] = read_regular(store.unit(record.key), most=MOST_RECORD) or b""
    for pattern in ("models/*/weights.card.yaml", "models/*/history.csv", "cards/*.md"):
        for path in sorted(run.glob(pattern)):
            name = path.relative_to(run).as_posix()
            if _NAME.fullmatch(name):
                files[name] = read_regular(path, most=MOST_TEXT) or b""
    for images in of_run(store, records):
        files[member_of(images.record.key)] = packed(images)
    manifest = {
        "schema": SCHEMA,
        "name": str(store.facts()[0].get("name") or run.resolve().name),
        "day": day_of(run),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    content = zipped({MANIFEST: json.dumps(manifest, indent=1).encode() + b"\n", **files})
    SUBMISSION.check(len(content), where=str(out), error=StorageError)
    write_atomic(out, content)
    return len(content)


def day_of(run: Path) -> str:
    """Return the day of the last change of a folder's `run.json`, in UTC; empty if there is none."""
    try:
        seconds = (run / "run.json").stat().st_mtime
    except OSError:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip archive of files, sorted by name, without times and owners."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in sorted(files.items()):
            member = zipfile.ZipInfo(name, _LONG_AGO)
            member.create_system, member.external_attr = 3, 0o100644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data, compresslevel=9)
    return stream.getvalue()


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Submission]:
    """Yield a submission as a folder, which is deleted at the end of the block.

    Raises:
        InputError: not a submission, too large, an invalid name, two members of one name, wrong digests, or
            records and images that do not agree; names file and member.
    """
    with TemporaryDirectory(prefix="robench-submission-") as folder:
        root = Path(folder)
        manifest, files = read_submission(path)
        for name, data in files.items():
            write_atomic(root / name, data)
        records, faults = _contents(root, str(path))
        yield Submission(
            root=root,
            name=manifest["name"],
            day=manifest["day"],
            records=tuple(records),
            faults=tuple(faults),
        )


def _contents(root: Path, where: str) -> tuple[list[Record], list[Fault]]:
    """Return the records of an unpacked submission and its unreadable parts; refuse what does not agree."""
    records, faults = Store(root).readable()
    complete = not any(fault.about.startswith("units") for fault in faults)
    try:
        check_records(records)
        check_images(root, records, complete=complete)
    except StorageError as error:
        do = "Ask its author for the file that `robench submit` wrote"
        raise InputError(
            where=f"{where}:{error.where}", expected=error.expected, got=error.got, do=do
        ) from None
    return records, faults


def read_submission(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest of a submission, and its files by name, all of them checked.

    Raises:
        InputError: as `unpacked`, but for what the records say.
    """
    where = str(path)
    try:
        with open_regular(path, most=SUBMISSION.value()) as file:
            archive = open_archive(file, where=where)
            files = _members(archive, where)
    except FileNotFoundError:
        raise InputError(where=where, expected="a submission file", got="no such file") from None
    except StorageError as error:
        raise InputError(where=where, expected=error.expected, got=error.got) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        got = f"{type(error).__name__}: {error}"[:200]
        do = "Make it again with `robench submit`"
        raise InputError(where=where, expected="a submission file (zip)", got=got, do=do) from None
    return _manifest(files, where), files


def _members(archive: zipfile.ZipFile, where: str) -> dict[str, bytes]:
    members = archive.infolist()
    SUBMITTED_FILES.check(len(members), where=where)
    SUBMITTED.check(sum(member.file_size for member in members), where=where)
    names = [member.filename for member in members]
    if len(set(map(str.lower, names))) < len(names):  # a file system may treat both as one file
        twice = next(name for name in names if sum(name.lower() == one.lower() for one in names) > 1)
        raise InputError(where=where, expected="members of different names", got=f"{twice[:100]!r} twice")
    for member in members:
        if member.filename != MANIFEST and not _NAME.fullmatch(member.filename):
            expected = "only members that a submission has, such as units/KEY.json"
            raise InputError(where=where, expected=expected, got=repr(member.filename[:100]))
        if member.flag_bits & 1:
            raise InputError(where=where, expected="members without a password", got=member.filename)
    return {member.filename: read_member(archive, member, where=where, limit=SUBMITTED) for member in members}


def _manifest(files: dict[str, bytes], where: str) -> dict[str, Any]:
    """Take the manifest out of the files and check them against it."""
    do = "Make it again with `robench submit`"
    data = files.pop(MANIFEST, None)
    if data is None or len(data) > MOST_TEXT:
        got = "none" if data is None else f"one of {len(data)} bytes"
        raise InputError(where=where, expected=f"a submission with its {MANIFEST}", got=got, do=do)
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(where=f"{where}:{MANIFEST}", expected="JSON", got=str(error)[:100], do=do) from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        got = described(manifest.get("schema") if isinstance(manifest, dict) else manifest)
        raise InputError(where=f"{where}:{MANIFEST}", expected=f"schema {SCHEMA}", got=got[:200])
    name, day, hashes = manifest.get("name"), manifest.get("day"), manifest.get("files")
    if not isinstance(name, str) or len(name) > 300 or not isinstance(hashes, dict):
        expected = "a name and the digests of the files"
        raise InputError(where=f"{where}:{MANIFEST}", expected=expected, got="something else", do=do)
    if not isinstance(day, str) or not re.fullmatch(r"(\d{4}-\d\d-\d\d)?", day, re.ASCII):
        raise InputError(where=f"{where}:{MANIFEST}", expected="a day YYYY-MM-DD", got=described(day)[:100])
    if strange := sorted(set(map(str, hashes)) ^ set(files)):
        got = f"{strange[0][:100]!r} in one of the two"
        raise InputError(where=where, expected=f"the files that {MANIFEST} lists", got=got, do=do)
    for file, content in files.items():
        if hashlib.sha256(content).hexdigest() != hashes[file]:
            got = "another digest: it was damaged or edited"
            raise InputError(where=f"{where}:{file}", expected="the file as it was written", got=got, do=do)
    return {"name": name, "day": day}
