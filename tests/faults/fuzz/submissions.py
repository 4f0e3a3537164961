"""A submission file, small and valid, and what hostile ones are made of: half of them list what they hold."""

import hashlib
import json
import tempfile
import zipfile
from functools import cache
from io import BytesIO
from pathlib import Path

from hypothesis import strategies as st

from robench.record.exchange.broken_images import of_submission
from robench.record.exchange.submission import MANIFEST, unpacked, write_submission, zipped
from robench.record.store import Store
from tests.faults.fuzz.mutations import damaged, damaged_members
from tests.faults.fuzz.run_folders import JSON_TOKENS, show
from tests.reports.html.synthetic import run_folder


@cache
def submission():
    """Return the bytes of the submission of a small run."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "one.zip"
        write_submission(run_folder(Path(place) / "run", models=1), out)
        return out.read_bytes()


def honest(data):
    """Return a submission whose manifest lists its members as they are."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    try:
        manifest = json.loads(files.pop(MANIFEST))
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        files[MANIFEST] = json.dumps({**manifest, "files": digests}).encode()
    except (KeyError, ValueError, TypeError):
        return data
    return zipped(files)


submission_bytes = st.deferred(
    lambda: st.one_of(
        damaged((submission(),)),
        damaged_members((submission(),), JSON_TOKENS),
        damaged_members((submission(),), JSON_TOKENS).map(honest),
    )
)


def read_one(folder, data):
    """What is in a submission that is accepted fits on a board; its damaged records are left out."""
    path = folder / "one.zip"
    path.write_bytes(data)
    with unpacked(path) as one:
        records, _ = Store(one.root).readable()
        if records:
            show(records)
        list(of_submission(one.root, records))
