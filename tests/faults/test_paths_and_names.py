"""No name of a model, a run, a data file or an archive's member leads out of its folder."""

import io
import tarfile
import zipfile

import pytest

from model_zoo.datasets import CIFAR10JPEG, ImageFolder, Npz
from robench.errors import InputError
from tests.faults.fuzz.data_files import NPZ
from tests.faults.plans import CONFIGURATION, refused, run


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "a/b", "a\\b", "..", ".hidden", "con", "a\0b", "x" * 300, ""]
)
@pytest.mark.parametrize("place", ["model", "run"])
def test_names_that_are_no_plain_names_are_refused(tmp_path, monkeypatch, name, place):
    literal = '"' + name.replace("\\", "\\\\").replace("\0", "\\0") + '"'
    old = "name: a," if place == "model" else "name: small"
    configuration = CONFIGURATION.replace(old, f"name: {literal}" + "," * (place == "model"))
    folder = tmp_path / "deep" / "deeper"
    folder.mkdir(parents=True)
    refused(run(folder, monkeypatch, configuration=configuration), folder, "a plain name")
    assert sorted(p.name for p in tmp_path.rglob("*evil*")) == []


@pytest.mark.parametrize("path", ["../outside.npz", "sub/../../outside.npz", "link.npz"])
def test_data_below_a_root_stay_there(tmp_path, path):
    (tmp_path / "outside.npz").write_bytes(NPZ[0])
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "link.npz").symlink_to(tmp_path / "outside.npz")
    for recipe in (Npz(path=path), ImageFolder(path=path)):
        with pytest.raises(InputError, match="inside"):
            recipe("test", root=root)


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/evil.jpg", "test/../../evil.jpg", "C:\\evil.jpg", "a\\..\\evil.jpg"]
)
def test_members_of_an_archive_stay_in_it(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "cifar10-jpeg.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(InputError, match="inside the archive"):
        CIFAR10JPEG()("test", root=tmp_path)
    assert [p.name for p in tmp_path.rglob("*")] == ["cifar10-jpeg.zip"]


def test_a_tar_called_npz_is_not_unpacked(tmp_path):
    with tarfile.open(tmp_path / "d.npz", "w") as archive:
        member = tarfile.TarInfo("../evil")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(InputError):
        Npz(path=str(tmp_path / "d.npz"))("test")
    assert not (tmp_path.parent / "evil").exists()
