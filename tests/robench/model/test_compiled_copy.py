"""A copy that torch compiles is proven like others, is asked for only, and leaves the process as it was."""

import os
from pathlib import Path

import pytest
import torch

from attacks.gradient.pgd import PGD
from robench.api import benchmark, wrap
from robench.data.images import image_set
from robench.model.compiled_copy import CompiledCopy
from robench.model.copy_methods import COMPILED_METHODS
from robench.model.fast_copy import prepared_copy
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from tests.robench.model.folding_networks import Base, Viewed, X

COMPILED, COMPILED_AS_LAID = COMPILED_METHODS


def compiler(monkeypatch, made):
    """Let `torch.compile` give what `made` makes of a function."""
    monkeypatch.setattr(torch, "compile", lambda function, **options: made(function))


def raising(function):
    def no_compiler(x):
        raise RuntimeError("No working C++ compiler found")

    return no_compiler


def chosen(net, **options):
    copies = PreparedModel(model := Model(name="m", net=net, classes=4), **options)
    return copies.choose(X, [model.source("exact")]), copies.reasons


def test_it_is_tried_only_where_it_is_asked_for(monkeypatch):
    compiler(monkeypatch, lambda function: function)
    assert chosen(Base()) == ("folded, channels-last", {})
    assert chosen(Base(), engine="compiled") == (COMPILED.name, {})
    assert chosen(Base(), engine="eager") == ("as it is", {})


def test_without_a_compiler_the_next_one_answers_and_the_reason_is_told(monkeypatch):
    compiler(monkeypatch, raising)
    net = Base()
    data = image_set(X, net(X).argmax(dim=1), classes=4)
    result = benchmark(
        [wrap(net, name="m", classes=4)], data, attacks={"a": PGD(steps=2)}, eps=0.1, engine="compiled"
    )
    engine = next(r for r in result.records if r.attack.label == "a").provenance.engine
    assert engine.used == "folded, channels-last"
    assert "compiler" in engine.not_used[COMPILED.name]


def test_compiled_code_of_another_function_is_not_used(monkeypatch):
    compiler(monkeypatch, lambda function: lambda x: 1.001 * function(x))
    name, reasons = chosen(Base(), engine="compiled")
    assert name == "folded, channels-last"
    assert "outputs differ" in reasons[COMPILED.name]


def test_compiled_code_that_fails_half_way_is_replaced(monkeypatch):
    def failing(function):
        def answer(x):
            if len(x) > 17:
                raise RuntimeError("recompile limit")
            return function(x)

        return answer

    compiler(monkeypatch, failing)
    net = Base()
    data = image_set(X, net(X).argmax(dim=1), classes=4)
    result = benchmark(
        [wrap(net, name="m", classes=4)], data, attacks={"a": PGD(steps=2)}, eps=0.1, engine="compiled"
    )
    engine = next(r for r in result.records if r.attack.label == "a").provenance.engine
    assert engine.used == "folded, channels-last"
    assert "compiled code failed" in engine.not_used[COMPILED.name]


def test_a_network_without_python_code_cannot_be_compiled():
    net = Base()
    net.forward = len
    with pytest.raises(ValueError, match="no function in Python"):
        CompiledCopy(net)


def children():
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    return task.read_text().split() if task.exists() else []


@pytest.mark.slow
def test_really_compiled_it_is_the_same_function_and_nothing_is_left_behind():
    import torch._dynamo
    import torch._inductor.config as inductor
    from torch._C._dynamo.eval_frame import _debug_get_cache_entry_list

    def process():
        settings = torch._dynamo.config.get_config_copy(), inductor.get_config_copy()
        return dict(os.environ), settings, torch.get_num_threads(), children(), torch.is_grad_enabled()

    before, net = process(), Base()
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    name, reasons = chosen(net, engine="compiled")
    if name != COMPILED.name and "ompiler" in reasons[COMPILED.name]:
        pytest.skip("no C++ compiler here")
    assert name == COMPILED.name, reasons
    twin = prepared_copy(net, COMPILED)
    for rows in (20, 7, 2, 1):
        leaf = X[:rows].clone().requires_grad_(True)
        outputs = twin(leaf)
        torch.testing.assert_close(outputs, net(X[:rows]), rtol=1e-4, atol=1e-5)
        (gradient,) = torch.autograd.grad(outputs[:, 0].sum(), leaf)
        own = X[:rows].clone().requires_grad_(True)
        torch.testing.assert_close(
            gradient, *torch.autograd.grad(net(own)[:, 0].sum(), own), rtol=1e-3, atol=1e-5
        )
    assert process() == before
    assert not _debug_get_cache_entry_list(Base.forward.__code__)
    assert all(torch.equal(weights[key], value) for key, value in net.state_dict().items())


def test_where_the_layout_allows_no_view_the_weights_stay_as_they_lie(monkeypatch):
    compiler(monkeypatch, lambda function: function)
    name, reasons = chosen(Viewed(), engine="compiled")
    assert name == COMPILED_AS_LAID.name
    assert set(reasons) == {COMPILED.name}


@pytest.mark.slow
def test_really_compiled_a_view_that_the_layout_does_not_allow_costs_the_layout_only():
    name, reasons = chosen(Viewed(), engine="compiled")
    if any("ompiler" in reason for reason in reasons.values()):
        pytest.skip("no C++ compiler here")
    assert name == COMPILED_AS_LAID.name, reasons
