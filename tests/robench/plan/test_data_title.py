"""Images are called before they are read as they are called afterwards."""

import numpy as np
import pytest
from PIL import Image

from robench import plugins
from robench.plan.data_title import data_title


@pytest.mark.parametrize(
    ("name", "options", "title"),
    [
        ("npz", {"path": "digits of mine.npz"}, "digits of mine"),
        ("npz", {"path": "a.b.npz"}, "a.b"),
        ("npz", {"path": "d-{split}.npz"}, "d-test"),
        ("npz", {"path": "x.npz", "title": "Digits"}, "Digits"),
        ("image_folder", {"path": "my.pictures"}, "my.pictures"),
    ],
)
def test_the_title_is_that_of_the_images(tmp_path, monkeypatch, name, options, title):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / options["path"].replace("{split}", "test")
    if name == "npz":
        np.savez(path, x=np.zeros((2, 1, 4, 4), "uint8"), y=np.arange(2))
    else:
        for label in "ab":
            (path / "test" / label).mkdir(parents=True)
            Image.new("L", (4, 4)).save(path / "test" / label / "one.png")
    images = plugins.find("datasets", name)(**options)("test")
    assert images.name == title
    assert data_title(name, options, "test") == title


@pytest.mark.parametrize(("name", "options"), [("mnist", {}), ("npz", {}), ("image_folder", {"path": None})])
def test_without_a_file_it_is_the_name_of_the_plugin(name, options):
    assert data_title(name, options, "test") == name
