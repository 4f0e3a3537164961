"""Which images are shown, and that what is shown is what was stored."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from reports.board.grouping import split_into_boards
from reports.html.gallery import Guide
from reports.html.pixels import Pixels, magnified, png
from robench.record.store import Store
from tests.records import changed
from tests.reports.board.test_leaderboard import B, M, R, record


def decoded(address):
    kind, _, content = address.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def made(root, **options):
    """Two models, two attacks, six images; the images of attack `x` are in the file `x`."""
    records = [
        record("a", "", "clean", [R, R, R, R, R, M], gradient=""),
        record("b", "", "clean", [R] * 6, gradient=""),
        # image           0  1  2  3  4  5
        record("a", "a", "weak", [B, R, R, R, R, M], l2=[3.0] * 6, **options),
        record("a", "a", "strong", [B, B, B, R, R, M], l2=[2.0, 5.0, 1.0, 0, 0, 0], **options),
        record("b", "b", "weak", [B, R, R, R, R, R], **options),
        record("b", "a", "strong", [R, B, R, R, R, R], **options),
        record("b", "b", "strong", [R, R, R, R, R, R], **options),
    ]
    store = Store(root)
    store.prepare()
    levels = np.arange(6 * 3 * 2 * 2, dtype=np.uint8).reshape(6, 3, 2, 2)
    save_file({"images": levels, "index": np.arange(6)}, store.images("d0"))
    for name, change in (("weak", 0.25), ("strong", 0.125)):
        save_file({"x_adv": (levels / 255 + change).astype(np.float32)}, store.adv(name))
    attacks = [changed(one, provenance={"crafted": one.attack.label}) for one in records[2:]]
    return [*records[:2], *attacks], levels


def strips(root, records, target="f:a", *, each=3, budget=10**6):
    (samples,) = split_into_boards(records)
    guide = Guide(samples, Pixels(root), each)
    return guide.lost(), guide.strips(target, lost=guide.lost(), budget=budget)


def test_by_hand(tmp_path):
    records, _ = made(tmp_path)
    losses, (only, nobody) = strips(tmp_path, records)
    # 0: both models fall to `weak`; 1: a falls, and b to the image made on a; 2: only a falls.
    assert losses == {0, 1}
    assert "strong" in only.title
    assert [e.index for e in only.exhibits] == [1, 2]  # 0 falls to `weak` too
    assert "Broken on every model" in nobody.title
    assert [(e.index, e.attack) for e in nobody.exhibits] == [(0, "strong"), (1, "strong")]  # 2.0 beats 3.0
    assert (only.total, nobody.total) == (2, 2)
    first = only.exhibits[0]
    assert (first.truth, first.before, first.after) == ("1", "1", "2")
    assert first.size == "Linf 0.1, L2 5"


def test_pictures_are_the_stored_pixels(tmp_path):
    records, levels = made(tmp_path)
    _, (only, _) = strips(tmp_path, records)
    first = only.exhibits[0]
    assert (decoded(first.clean) == levels[1].transpose(1, 2, 0)).all()
    assert (decoded(first.adversarial) == np.rint(levels[1] + 0.125 * 255).transpose(1, 2, 0)).all()
    assert first.scale == "4"
    assert (decoded(first.noise) == 255).all()  # every pixel rose by the same: white everywhere


def test_an_infinite_radius_shows_the_smallest_changes(tmp_path):
    records, _ = made(tmp_path, eps="inf", norm="L2")
    losses, (smallest,) = strips(tmp_path, records)
    assert losses == set()
    assert [e.index for e in smallest.exhibits] == [2, 0, 1]  # L2 1, 2 and 5


@pytest.mark.parametrize("budget", [0, 100, 1_000, 2_000])
def test_pictures_stay_within_the_budget(tmp_path, budget):
    records, _ = made(tmp_path)
    _, rows = strips(tmp_path, records, budget=budget)
    assert sum(e.weight for strip in rows for e in strip.exhibits) <= budget
    assert bool(rows) == (budget >= 1_000)


def test_no_images_no_gallery(tmp_path):
    records, _ = made(tmp_path)
    Store(tmp_path).images("d0").unlink()
    assert strips(tmp_path, records)[1] == ()
    assert strips(None, records)[1] == ()
    assert strips(tmp_path, records[:2]) == (set(), ())
    assert strips(tmp_path, records, target="f:b")[0] == {0, 1}


def test_a_record_cannot_name_a_file_elsewhere(tmp_path):
    records, _ = made(tmp_path)
    paths = {"provenance": {"crafted": "../adv/strong"}, "dataset": {"digest": "../data/d0"}}
    records = [changed(one, **paths) for one in records]
    assert strips(tmp_path, records)[1] == ()


def test_noise_around_grey():
    picture, scale = magnified(np.array([[[0.0, 0.05], [-0.1, 0.1]]], dtype=np.float32))
    assert scale == pytest.approx(5)
    assert picture == pytest.approx(np.array([[[0.5, 0.75], [0.0, 1.0]]]))
    assert magnified(np.zeros((1, 2, 2), dtype=np.float32))[1] == 1.0


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "L")])
def test_png_of_any_number_of_channels(channels, mode):
    address = png(np.full((channels, 300, 200), np.nan, dtype=np.float32))
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert (image.mode, image.size) == (mode, (64, 96))
