"""Pieces of random networks by how convolutions and batch-norms are wired: shared, read again, chosen.

A piece takes (B, c, H, W) to images of any other shape. What is written here is legal PyTorch that somebody
has written: whatever computes a network faster has to give the same answers for it.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Piece(nn.Module):
    """Parts, and a function of itself and the images that says what is done with them."""

    def __init__(self, function, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def conv(c, out=None, size=3, **options):
    return nn.Conv2d(c, out or c, size, **{"padding": size // 2, **options})


def norm(c, **options):
    return nn.BatchNorm2d(c, **options)


def rebuilt(x, first, second):
    """Each image for itself goes the one way or the other."""
    ways = [first if image.mean() > 0 else second for image in x]
    return torch.cat([way(image[None]) for way, image in zip(ways, x, strict=True)])


def plain(draw, c):
    return Piece(
        lambda s, x: F.relu(s.norm(s.conv(x))), conv=conv(c, bias=draw.random() < 0.5), norm=norm(c, eps=0.01)
    )


def norm_first(draw, c):
    return Piece(lambda s, x: s.conv(F.relu(s.norm(x))), conv=conv(c), norm=norm(c))


def norm_on_both_sides(draw, c):
    return Piece(lambda s, x: s.after(s.conv(s.before(x))), before=norm(c), conv=conv(c), after=norm(c))


def norms_in_a_row(draw, c):
    return Piece(
        lambda s, x: F.relu(s.second(s.first(s.conv(x)))),
        conv=conv(c, bias=False), first=norm(c), second=norm(c, affine=False),
    )  # fmt: skip


def shared_weight(draw, c):
    first, second = conv(c, bias=False), conv(c, bias=draw.random() < 0.5)
    second.weight = first.weight
    return Piece(
        lambda s, x: s.norm2(s.second(F.relu(s.norm1(s.first(x))))),
        first=first, norm1=norm(c), second=second, norm2=norm(c),
    )  # fmt: skip


def shared_weight_once_bare(draw, c):
    first, second = conv(c), conv(c)
    second.weight, second.bias = first.weight, first.bias
    return Piece(lambda s, x: s.second(F.relu(s.norm(s.first(x)))), first=first, norm=norm(c), second=second)


def alias(draw, c):
    one, other = conv(c), norm(c)
    return Piece(
        lambda s, x: s.again(F.relu(s.norm(s.conv(x)))) + s.norm_again(x),
        conv=one, again=one, norm=other, norm_again=other,
    )  # fmt: skip


def used_twice(draw, c):
    return Piece(lambda s, x: s.conv(F.relu(s.norm(s.conv(x)))), conv=conv(c), norm=norm(c))


def two_norms_after(draw, c):
    return Piece(
        lambda s, x: F.relu(s.norm1(z := s.conv(x))) + s.norm2(z), conv=conv(c), norm1=norm(c), norm2=norm(c)
    )


def read_before_the_norm(draw, c):
    return Piece(lambda s, x: F.relu(s.norm(z := s.conv(x))) + z, conv=conv(c), norm=norm(c))


def one_norm_for_two(draw, c):
    return Piece(
        lambda s, x: s.norm(s.conv1(x)) + s.norm(s.conv2(x)), conv1=conv(c), conv2=conv(c), norm=norm(c)
    )


def norm_by_a_flag(draw, c):
    piece = Piece(
        lambda s, x: F.relu(s.clean(s.conv(x)) if s.flag else s.adversarial(s.conv(x))),
        conv=conv(c), clean=norm(c), adversarial=norm(c),
    )  # fmt: skip
    piece.flag = draw.random() < 0.5
    return piece


def norm_by_the_mode(draw, c):
    return Piece(
        lambda s, x: F.relu((s.one if s.training else s.other)(s.conv(x))),
        conv=conv(c), one=norm(c), other=norm(c),
    )  # fmt: skip


def norm_by_a_condition(draw, c):
    return Piece(
        lambda s, x: F.relu((s.one if float(x.detach().sum()) < 1e9 else s.other)(s.conv(x))),
        conv=conv(c), one=norm(c), other=norm(c),
    )  # fmt: skip


def norm_by_the_image(draw, c):
    return Piece(
        lambda s, x: F.relu(rebuilt(s.conv(x), s.one, s.other)), conv=conv(c), one=norm(c), other=norm(c)
    )


def conditional_around_a_block(draw, c):
    return Piece(
        lambda s, x: s.block(x) if float(x.detach().amax()) > -1e9 else x,
        block=nn.Sequential(conv(c, bias=False), norm(c), nn.ReLU()),
    )


def kernel_read_again(draw, c):
    return Piece(
        lambda s, x: F.conv2d(F.relu(s.norm(s.conv(x))), s.conv.weight, padding=1), conv=conv(c), norm=norm(c)
    )


def kernel_measured(draw, c):
    return Piece(
        lambda s, x: F.relu(s.norm(s.conv(x))) * (1 + s.conv.weight.abs().mean()), conv=conv(c), norm=norm(c)
    )


def bias_read_again(draw, c):
    return Piece(
        lambda s, x: F.relu(s.norm(s.conv(x))) + (0 if s.conv.bias is None else s.conv.bias[:, None, None]),
        conv=conv(c, bias=draw.random() < 0.5), norm=norm(c),
    )  # fmt: skip


def statistics_read_again(draw, c):
    return Piece(
        lambda s, x: F.batch_norm(s.norm(s.conv(x)), s.norm.running_mean, s.norm.running_var, s.norm.weight),
        conv=conv(c), norm=norm(c),
    )  # fmt: skip


def tied_transposed(draw, c):
    return Piece(
        lambda s, x: F.conv_transpose2d(F.relu(s.norm(s.conv(x))), s.conv.weight, padding=1),
        conv=conv(c, c + 1), norm=norm(c + 1),
    )  # fmt: skip


def norm_then_sum(draw, c):
    return Piece(lambda s, x: F.relu(s.norm(s.conv(x)) + x), conv=conv(c, bias=False), norm=norm(c))


def sum_then_norm(draw, c):
    return Piece(lambda s, x: F.relu(s.norm(s.conv(x) + x)), conv=conv(c, bias=False), norm=norm(c))


def summed_in_place(draw, c):
    return Piece(
        lambda s, x: s.norm(s.conv(x)).mul_(0.9).add_(x).relu_(), conv=conv(c, bias=False), norm=norm(c)
    )


def in_place_before_the_norm(draw, c):
    return Piece(lambda s, x: s.norm(s.conv(x).add_(0.3).relu_()), conv=conv(c), norm=norm(c))


def in_another_order(draw, c):
    return Piece(
        lambda s, x: F.relu(s.layers[0](s.layers[2](s.layers[1](x)))),
        layers=nn.ModuleList([norm(c), conv(c), conv(c, bias=False)]),
    )


WIRING = {
    piece.__name__: piece
    for piece in (
        plain, norm_first, norm_on_both_sides, norms_in_a_row, shared_weight, shared_weight_once_bare,
        alias, used_twice, two_norms_after, read_before_the_norm, one_norm_for_two, norm_by_a_flag,
        norm_by_the_mode, norm_by_a_condition, norm_by_the_image, conditional_around_a_block,
        kernel_read_again, kernel_measured, bias_read_again, statistics_read_again, tied_transposed,
        norm_then_sum, sum_then_norm, summed_in_place, in_place_before_the_norm, in_another_order,
    )
}  # fmt: skip
"""Name of a way to wire layers to what makes a piece of it, given chance and the number of channels."""
