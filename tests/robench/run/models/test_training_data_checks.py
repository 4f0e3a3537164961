"""Training data that cannot serve are refused before the first network is trained, in the model's name."""

from __future__ import annotations

import pytest

from defenses.natural import Natural
from model_zoo.heads import templates
from robench.errors import InputError
from robench.plan import config
from robench.run.models.preparation import Workshop
from robench.run.progress import Quiet
from robench.run.settings import Environment

NATURAL = {"natural": {"epochs": 1}}


class Watch(Quiet):
    """Notes what is begun."""

    def __init__(self):
        self.begun = []

    def stage(self, text):
        self.begun.append(text)

    def finding(self, text):
        pass


def workshop(tmp_path, models):
    plan = config.from_dict({"name": "x", "dataset": {"name": "digits", "limit": 9}, "models": models})
    return Workshop(plan=plan, folder=tmp_path, environment=Environment(device="cpu"), reporter=Watch())


def model(name, defense=NATURAL, **data):
    train = {"defense": defense, "data": {"limit": 60, **data}}
    return {"name": name, "architecture": "digits_cnn", "buffer": 8, "train": train}


def head(name, origin, **options):
    return {"name": name, "features_of": origin, "head": {"wnll": {"m": 6, "n": 3, **options}}}


SEMI = {"wnll_semi_supervised": {"epochs": 1, "m": 6, "n": 3}}
WIDE = {"wnll_natural": {"epochs": 1, "m": 40, "n": 3, "template": 40}}
WHOLE = {"wnll": {"m": 30, "n": 3, "template": None}}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (head("w", "a", template=61), "model 'w', template: expected at least 61 labelled"),
        (head("w", "a", template=10, balanced=False), "model 'w', template: .* without '"),
        (model("b", limit=29) | {"head": WHOLE}, "model 'b', template: .* at least m = 30 images, got 29"),
        (head("w", "a", template=30, protocol="joint", unlabelled=5), "'w', unlabelled: expected at least 5"),
        (model("b", limit=5), "training data of 'b': .* got none of class 5, 6, 7, 8, 9"),
        (model("b", WIDE), "model 'b', WNLL training: .* at least m = 40 images, got"),
        (model("b", SEMI), "model 'b', WNLL training: expected images without a label"),
        (model("b", SEMI, labelled=5), "training data of 'b': .* got none of class 5, 6, 7, 8, 9"),
    ],
    ids=["size", "class", "m", "unlabelled", "coverage", "half", "all labelled", "labelled"],
)
@pytest.mark.parametrize("how", ["models", "train"])
def test_a_later_model_that_cannot_be_made_is_refused_before_the_first_is_trained(
    tmp_path, wrong, words, how
):
    shop = workshop(tmp_path, [model("a"), wrong])
    with pytest.raises(InputError, match=words) as error:
        getattr(shop, how)((1, 8, 8), 10)
    assert error.value.exit_code == 2
    assert not shop.reporter.begun
    assert not list(tmp_path.iterdir())


def test_the_template_that_was_checked_is_the_one_that_is_used(tmp_path, monkeypatch):
    digests, real = [], templates.draw_templates

    def noting(*args, **options):
        digests.append(real(*args, **options)[0].digest())
        return real(*args, **options)

    monkeypatch.setattr(templates, "draw_templates", noting)
    shop = workshop(tmp_path, [model("a"), head("w", "a", template=30)])
    (_, entry) = shop.models((1, 8, 8), 10)
    assert len(digests) == 2
    assert digests[0] == digests[1] == entry.model.details["template_sha256"][0]


def test_a_supervised_defense_is_given_the_labelled_images_alone(tmp_path, monkeypatch):
    calls, real = [], Natural.__call__

    def noting(self, network, data, *, context):
        calls.append(data)
        return real(self, network, data, context=context)

    monkeypatch.setattr(Natural, "__call__", noting)
    shop = workshop(
        tmp_path, [model("a", labelled=25), head("w", "a", template=20, protocol="joint", unlabelled=35)]
    )
    _, entry = shop.models((1, 8, 8), 10)
    (data,) = calls
    assert (len(data), int(data.labels.min())) == (25, 0)
    assert entry.model.details["unlabelled"] == 35
