"""The door: images are copied on the way in, answers become rows of numbers on the way out."""

from collections import namedtuple

import pytest
import torch
from torch import nn

from robench import wrap
from robench.errors import InputError
from robench.model.tested_network import TestedNetwork, networks_under_test

X = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Output = namedtuple("Output", "features logits")


class Answers(nn.Module):
    """A linear network whose answer is wrapped up."""

    def __init__(self, wrapped=lambda z: z, dtype=torch.float32):
        super().__init__()
        self.fc = nn.Linear(16, 3).to(dtype)
        self.wrapped = wrapped

    def forward(self, x):
        return self.wrapped(self.fc(x.flatten(1)))


class Holder:
    def __init__(self, logits):
        self.logits = logits


@pytest.mark.parametrize(
    ("wrapped", "note"),
    [
        (lambda z: (z,), "[0]"),
        (lambda z: [None, z], "[1]"),
        (lambda z: (z, z.mean()), "[0]"),
        (lambda z: {"logits": z, "hidden": z * 2}, "`logits`"),
        (lambda z: {"out": z, "aux": z * 2}, "['out']"),
        (lambda z: {"anything": z, "loss": z.mean()}, "['anything']"),
        (Holder, "`logits`"),
        (lambda z: Output(z * 2, z), "`logits`"),
    ],
)
def test_the_answer_is_found_and_the_choice_is_told(wrapped, note):
    net = Answers(wrapped)
    network = TestedNetwork(net)
    assert torch.equal(network(X), net.fc(X.flatten(1)))
    assert note in network.note


@pytest.mark.parametrize(
    ("wrapped", "word"),
    [
        (lambda z: (z, z * 2), "tuple of [0]: (5, 3), [1]: (5, 3)"),
        (lambda z: {"a": z, "b": z}, "dict of ['a']"),
        (lambda z: z.sum(), "()"),
        (lambda z: z[:, 0], "(5,)"),
        (lambda z: z[:, :, None, None], "(5, 3, 1, 1)"),
        (lambda z: z[:2], "(2, 3)"),
        (lambda z: z.tolist(), "list"),
        (lambda z: "cat", "str"),
        (lambda z: None, "NoneType"),
        (lambda z: torch.complex(z, z), "complex"),
    ],
)
def test_what_cannot_be_told_is_refused_with_a_remedy(wrapped, word):
    with pytest.raises(InputError) as refusal:
        TestedNetwork(Answers(wrapped))(X)
    assert word in str(refusal.value)
    assert refusal.value.do


def test_the_remedy_of_an_ambiguous_answer_is_code_that_works():
    net = Answers(lambda z: (z, z * 2))
    with pytest.raises(InputError) as refusal:
        TestedNetwork(net)(X)
    code = refusal.value.do.partition("\n")[2]
    assert len(code.splitlines()) == 3
    names = {"torch": torch}
    exec(code, names)
    assert torch.equal(TestedNetwork(names["Logits"](net))(X), net.fc(X.flatten(1)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_network_of_another_type_is_given_that_type_and_answers_in_the_images_type(dtype):
    net = Answers(dtype=dtype)
    network = TestedNetwork(net)
    point = X.clone().requires_grad_()
    outputs = network(point)
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, net.fc(X.to(dtype).flatten(1)).float())
    outputs.sum().backward()
    assert bool((point.grad != 0).all())
    assert str(dtype).removeprefix("torch.") in network.note


def test_integer_scores_become_numbers():
    assert TestedNetwork(Answers(lambda z: z.long()))(X).dtype == torch.float32


@pytest.mark.parametrize("write", ["sub_", "round_", "zero_", "data"])
def test_what_the_network_writes_into_its_input_stays_with_it(write):
    class Writes(Answers):
        def forward(self, x):
            if write == "data":
                x.data.mul_(0.5)
            elif write == "sub_":
                x.sub_(0.5).mul_(2)
            else:
                with torch.no_grad():
                    getattr(x, write)()
            return super().forward(x)

    before = X.clone()
    network = TestedNetwork(Writes())
    point = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(point).sum(), point)
    factor = 2.0 if write == "sub_" else 1.0
    torch.testing.assert_close(gradient.flatten(1), factor * network.module.fc.weight.sum(0).expand(5, -1))
    assert torch.equal(network(X), network(X))
    assert torch.equal(X, before)
    assert torch.equal(point.detach(), before)
    assert network.overwritten(X) == 5
    assert TestedNetwork(Answers()).overwritten(X) == 0


def test_what_a_user_calls_features_is_asked_only_where_it_answers_to_images_alone():
    class Layered(nn.Module):
        feature_dim = 3

        def features(self, x, layer):
            raise AssertionError(f"asked about {x} and {layer}")

        def forward(self, x):
            return x.flatten(1)[:, :3]

    class Failing(Layered):
        def features(self, x):
            x.zero_()
            raise ValueError("not of these images")

    assert TestedNetwork(Layered()).overwritten(X) == 0
    assert TestedNetwork(Failing()).overwritten(X) == 0


def test_answers_made_in_inference_mode_are_ordinary_numbers():
    class Inferred(Answers):
        def forward(self, x):
            with torch.inference_mode():
                return super().forward(x)

    outputs = TestedNetwork(Inferred())(X)
    assert not outputs.is_inference()


def test_a_class_map_picks_columns_and_normalises_what_is_left():
    net = Answers()
    logits = net(X)
    assert torch.equal(TestedNetwork(net, class_map=[2, 0])(X), logits[:, [2, 0]])
    simplex = TestedNetwork(Answers(lambda z: z.softmax(1)), class_map=[2, 0], kind="simplex")
    simplex.module.fc = net.fc
    torch.testing.assert_close(simplex(X), logits[:, [2, 0]].softmax(1))
    logs = TestedNetwork(Answers(lambda z: z.log_softmax(1)), class_map=[2, 0], kind="log_probabilities")
    logs.module.fc = net.fc
    torch.testing.assert_close(logs(X), logits[:, [2, 0]].log_softmax(1))
    with pytest.raises(InputError, match="outputs from 0 to 2"):
        TestedNetwork(net, class_map=[0, 3])(X)


def test_a_copy_answers_inside_the_block_only():
    network, other = TestedNetwork(Answers()), Answers()
    own = network(X)
    with network.answered_by(other):
        assert torch.equal(network(X), other(X))
        assert network.fc is other.fc  # attacks that look for layers find those that answer
    with pytest.raises(AttributeError), network.answered_by(other):
        _ = network.nothing_of_that_name
    assert torch.equal(network(X), own)
    assert networks_under_test(nn.Sequential(network)) == [network]


@pytest.mark.parametrize(
    ("net", "options", "word"),
    [
        ("net", {}, "a str"),
        (Answers, {}, "the class Answers"),
        ({}, {}, "a dict"),
        (Answers(), {"output": "logit"}, "logit"),
        (Answers(), {"class_map": [0, 1]}, "class_map of 3"),
        (Answers(), {"class_map": [0, 1, 1]}, "2 of them different"),
    ],
)
def test_wrap_refuses_in_one_sentence(net, options, word):
    with pytest.raises(InputError) as refusal:
        wrap(net, name="m", classes=3, **options)
    assert word in str(refusal.value)
