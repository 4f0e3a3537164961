"""Values that are moved about: as torch moves them, or refused where images of a batch could mix."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robench.bounds.tracing import traced
from robench.errors import ConfigError

SHAPE = (2, 4, 6)
KNOWN = {
    "permute": lambda x: x.permute(0, 3, 1, 2),
    "permute of a list": lambda x: torch.permute(x, [0, 2, 1, 3]),
    "transpose": lambda x: x.transpose(-1, 1),
    "slices": lambda x: x[:, 1:, ::2, -1],
    "a slice of the end": lambda x: x[:, ..., 1:-1],
    "a new axis": lambda x: x[:, None].squeeze(1),
    "all": lambda x: x[:],
    "view": lambda x: x.view(x.size(0), 2, -1),
    "view of a shape": lambda x: x.view((-1, 8, 6)),
    "reshape": lambda x: torch.reshape(x, (x.shape[0], 3, 16)),
    "reshape and swap": lambda x: x.reshape(-1, 6, 4, 2).permute(0, 3, 2, 1),
    "numbers of a shape": lambda x: x.view(x.shape[0], x.shape[1] * x.shape[2], x.shape[3] // 2, 2),
    "flatten": lambda x: x.flatten(-2),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "squeeze of what is longer": lambda x: x.squeeze(1),
    "squeeze of several": lambda x: x[:, :1, :1].squeeze((1, 2)),
    "unsqueeze": lambda x: torch.unsqueeze(x, -1),
    "joined": lambda x: torch.cat((x, -x[:, :1]), dim=-3),
    "joined with itself": lambda x: torch.cat([x, x], 3),
    "padded": lambda x: F.pad(x, (1, 0, 2, 1, 0, 1)),
    "cut": lambda x: F.pad(x, (-1, 2)),
    "means": lambda x: x.mean(-1, keepdim=True) - x.sum(dim=3, keepdim=True),
    "copied": lambda x: x.clone().contiguous().detach().float(),
}
REFUSED = {
    "permute of the batch": lambda x: x.permute(1, 0, 2, 3),
    "transpose of the batch": lambda x: x.transpose(0, 1),
    "one image": lambda x: x[0],
    "some images": lambda x: x[1:],
    "the last axis alone": lambda x: x[..., 0],
    "a list": lambda x: x[:, [1, 0]],
    "a truth value": lambda x: x[:, True],
    "a mask": lambda x: x[:, torch.tensor([True, False])],
    "view over images": lambda x: x.view(-1, 8),
    "view of halves": lambda x: x.view(x.shape[0] * 2, 24),
    "view of a fixed batch": lambda x: x.view(1, 2, 4, 6),
    "view of another type": lambda x: x.view(torch.int32),
    "flatten of all": lambda x: x.flatten(),
    "squeeze of all": lambda x: x.squeeze(),
    "squeeze of the batch": lambda x: x.squeeze(0),
    "squeeze of the batch among others": lambda x: x[:, :1].squeeze((0, 1)),
    "squeeze from the end": lambda x: x.squeeze((-4,)),
    "unsqueeze before the batch": lambda x: x.unsqueeze(0),
    "unsqueeze from the end": lambda x: x.unsqueeze(-5),
    "joined batches": lambda x: torch.cat([x, x]),
    "joined with constants": lambda x: torch.cat([x, torch.zeros(1, 2, 4, 6)], 1),
    "mean over images": lambda x: x - x.mean(0, keepdim=True),
    "mean over all": lambda x: x - x.mean(),
    "sum over no axes": lambda x: x - x.sum(dim=()),
    "number of images": lambda x: x * x.shape[0],
    "divided by the number of images": lambda x: x / x.size(0),
    "nothing": lambda x: torch.cat([x, x[:, 2:]], 1),
    "one number for each image": lambda x: x - x.mean((1, 2, 3)).unsqueeze(1),
    "stacked": lambda x: torch.stack([x, x], 1),
    "repeated": lambda x: x.repeat(1, 2, 1, 1),
    "flipped": lambda x: x.flip(1),
    "rolled": lambda x: x.roll(1, 0),
    "transposed property": lambda x: x.mT,
    "half": lambda x: x.half(),
    "another type": lambda x: x.to(torch.int32),
}


class Moved(nn.Module):
    """Scores of all that a function makes of an image."""

    def __init__(self, function, width):
        super().__init__()
        self.function, self.fc = function, nn.Linear(width, 3)

    def forward(self, x):
        return self.fc(F.relu(self.function(2 * x)).flatten(1))


@pytest.mark.parametrize("name", KNOWN)
def test_values_are_moved_as_torch_moves_them(name):
    net = Moved(KNOWN[name], KNOWN[name](torch.zeros(1, *SHAPE)).flatten(1).shape[1]).eval()
    graph = traced(net, SHAPE)
    points = torch.randn(7, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(graph(points.double()), net(points).detach().double(), atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_mix_images_is_refused(name):
    with pytest.raises(ConfigError, match="layer") as error:
        traced(Moved(REFUSED[name], 48).eval(), SHAPE)
    assert error.value.exit_code == 2
