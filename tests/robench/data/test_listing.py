"""Pictures that a plan does not use are not decoded, and those it uses are those of the whole split."""

import pytest
import torch

import model_zoo.datasets.cifar_jpeg as zipped
import model_zoo.datasets.folder as folders
from model_zoo.datasets.cifar_jpeg import CIFAR10JPEG
from model_zoo.datasets.folder import ImageFolder
from robench.data.listing import ListedRecipe
from robench.data.loading import load_data, select
from robench.errors import InputError
from robench.plan.spec import Choice, DataSpec
from tests.model_zoo.datasets.test_datasets import cifar_members, cifar_zip, picture

CHOICES = [
    {"limit": 7},
    {"limit": 13, "subset": "balanced"},
    {"indices": (25, 3, 11)},
    {"indices": (25, 3, 11, 4), "limit": 2},
    {"limit": 20, "labelled": 10},
    {},
]


def pictures(root):
    for label in range(10):
        place = root / "mine" / "test" / str(label)
        place.mkdir(parents=True)
        for i in range(3):
            (place / f"{i}.png").write_bytes(picture(color=(label, i, 9), form="PNG"))


@pytest.fixture(params=["cifar10-jpeg", "image_folder"])
def source(request, tmp_path, monkeypatch):
    """A data set of 30 pictures, its folder, its recipe, and the pictures that were decoded."""
    names = []
    module = zipped if request.param == "cifar10-jpeg" else folders
    plain = module.decode
    monkeypatch.setattr(
        module, "decode", lambda data, **rest: names.append(rest["where"]) or plain(data, **rest)
    )
    if request.param == "cifar10-jpeg":
        cifar_zip(tmp_path, cifar_members())
        return Choice(name="cifar10-jpeg"), tmp_path, CIFAR10JPEG(), names
    pictures(tmp_path)
    return Choice(name="image_folder", options={"path": "mine"}), tmp_path, ImageFolder(path="mine"), names


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_some_images_are_those_of_the_whole_split(source, choice):
    dataset, root, recipe, names = source
    assert isinstance(recipe, ListedRecipe)
    whole = recipe("test", root=root)
    rest = {key: value for key, value in choice.items() if key != "indices"}
    plain = whole.subset(torch.tensor(choice["indices"])) if "indices" in choice else whole
    plain = select(plain, **{"limit": None, "subset": "first", "seed": 5, **rest})
    names.clear()
    some = load_data(DataSpec(dataset=dataset, split="test", **choice), root=root, download=False, seed=5)
    assert len(names) == len(some) == len(plain)
    assert some.digest() == plain.digest()
    assert torch.equal(some.indices, plain.indices)
    assert (some.name, some.split, some.classes) == (plain.name, plain.split, plain.classes)
    assert some.images.dtype == plain.images.dtype


def test_a_broken_picture_stops_those_who_ask_for_it(source):
    dataset, root, recipe, _ = source
    last = len(recipe("test", root=root)) - 1
    if dataset.name == "image_folder":
        (root / "mine" / "test" / "9" / "2.png").write_bytes(b"no picture")
    else:
        members = cifar_members()
        order = zipped._members
        with zipped._opened(root / "cifar10-jpeg.zip") as archive:
            name = order(archive, "test", where="")[last][0]
        cifar_zip(root, members | {name: b"no picture"})
    spec = DataSpec(dataset=dataset, split="test", limit=last)
    assert len(load_data(spec, root=root, download=False, seed=0)) == last
    with pytest.raises(InputError, match="readable picture"):
        load_data(DataSpec(dataset=dataset, split="test", indices=(last,)), root=root, download=False, seed=0)
    with pytest.raises(InputError, match=f"from 1 to {last + 1}"):
        load_data(DataSpec(dataset=dataset, split="test", limit=last + 2), root=root, download=False, seed=0)
