"""Every public name has a place on the pages made from docstrings."""

from importlib import import_module

import pytest

from docs_site.api_pages import faces, write_pages


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    return {name: (folder / f"{name}.rst").read_text("utf-8") for name in write_pages(folder)}


def test_robench_comes_first_and_the_rooms_follow(pages):
    assert list(pages) == faces()
    assert faces()[0] == "robench"
    assert {"robench.api", "robench.attack", "robench.bounds", "robench.run"} <= set(faces())


def test_every_public_name_is_described_once_and_linked_elsewhere(pages):
    for face, text in pages.items():
        for name in import_module(face).__all__:
            target = "robench.api.attack" if (face, name) == ("robench", "attack") else f"{face}.{name}"
            has_entry = f":: {target}\n" in text
            has_link = f":py:obj:`{name} <robench" in text
            assert has_entry != has_link, (face, name)
    assert ":: robench.Model\n" in pages["robench"]
    assert ":py:obj:`Model <robench.Model>`" in pages["robench.model"]


def test_a_constant_shows_its_value_where_it_is_short(pages):
    assert ".. py:data:: robench.plan.DRAWS\n   :value: 10\n" in pages["robench.plan"]
