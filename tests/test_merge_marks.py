"""No text of the project keeps the marks of a merge."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"^(?:<{7}|>{7}) |^={7}$", re.MULTILINE)


def test_no_file_has_marks_of_a_merge():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listing.stdout.split() or [str(path.relative_to(ROOT)) for path in ROOT.glob("**/*.md")]
    texts = [name for name in names if Path(name).suffix in {".md", ".py", ".toml", ".yaml", ".yml", ".txt"}]
    assert texts
    assert [name for name in texts if MARK.search((ROOT / name).read_text("utf-8"))] == []
