"""Everything about a network that an evaluation may not change, taken down so that it can be compared."""

import torch


def bits(tensor):
    """What a tensor is: its numbers to the last bit, and how they lie in memory."""
    if tensor is None:
        return None
    numbers = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return tensor.dtype, tuple(tensor.shape), tensor.stride(), numbers.numpy().tobytes()


def taken_down(net):
    """Return a flat dict of facts about a network, each to be equal afterwards.

    Objects are kept themselves, so that another one of equal content is found out.
    """
    facts = {}
    for name, tensor in net.state_dict(keep_vars=True).items():
        facts[f"{name}, state"] = bits(tensor)
    for name, parameter in net.named_parameters(remove_duplicate=False):
        facts[f"{name}, the parameter"] = Same(parameter)
        facts[f"{name}, where it lies"] = parameter.data_ptr()
        facts[f"{name}, requires_grad"] = parameter.requires_grad
        facts[f"{name}, the gradient"] = Same(parameter.grad)
        facts[f"{name}, bits of the gradient"] = bits(parameter.grad)
    for name, part in net.named_modules(remove_duplicate=False):
        for key, value in vars(part).items():
            if isinstance(value, dict):  # parameters, buffers, modules, hooks
                facts[f"{name}.{key}"] = [(at, Same(entry)) for at, entry in value.items()]
            elif isinstance(
                value, torch.Tensor
            ):  # what a layer computes anew each time, such as a normed weight
                facts[f"{name}.{key}"] = bits(value)
            elif isinstance(value, bool | int | float | str | tuple | None):
                facts[f"{name}.{key}"] = value
            else:
                facts[f"{name}.{key}"] = Same(value)
        facts[f"{name}, attributes"] = sorted(vars(part))
        facts[f"{name}, class"] = type(part)
    return facts


class Same:
    """An object that equals itself alone."""

    def __init__(self, thing):
        self.thing = thing

    def __eq__(self, other):
        return isinstance(other, Same) and self.thing is other.thing

    __hash__ = None


def differences(before, after):
    """Return what is no longer as it was, in words."""
    return [name for name in before | after if before.get(name) != after.get(name)]


def answers(net, x):
    """Return the bits of a network's answers in eval mode; every module's mode is as before afterwards."""
    modes = {part: part.training for part in net.modules()}
    net.eval()
    with torch.no_grad():
        values = bits(net(x.clone()))
    for part, training in modes.items():
        part.training = training
    return values
