"""Random networks of every kind that bounds know."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


def drawn(net, seed, spread=1.0):
    """Fill a network with reproducible random numbers, batch norm included; in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            values = torch.randn(tensor.shape, generator=generator)
            if "running_var" in name:
                values = values.abs() + 0.5
            fan = tensor[0].numel() if tensor.ndim > 1 else 4
            tensor.copy_(spread * values / fan**0.5 if "running_var" not in name else values)
    return net.eval()


def dense(widths, seed):
    """Linear layers with ReLU between, after a flatten."""
    layers = [nn.Flatten()]
    for i, (inner, outer) in enumerate(pairwise(widths)):
        layers += [nn.ReLU()] if i else []
        layers.append(nn.Linear(inner, outer))
    return drawn(nn.Sequential(*layers), seed)


class Residual(nn.Module):
    """Two residual blocks with batch norm, one strided with a projection, and global average pooling."""

    def __init__(self, channels=2, classes=3):
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, padding=1)
        self.bn0, self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(n) for n in (4, 4, 6, 6))
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.project = nn.Conv2d(4, 6, 1, stride=2)
        self.fc = nn.Linear(6, classes)

    def forward(self, x):
        x = F.relu(self.bn0(self.stem(x)))
        x = F.relu(x + self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)) + self.project(x))
        return self.fc(self.bn3(x).mean(dim=(2, 3)))


class Shortcut(nn.Module):
    """A shortcut without weights: every second pixel, padded with zero channels, as in CIFAR ResNets."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(3, 5, 3, padding=1)
        self.fc = nn.Linear(5 * 3 * 3, 3)

    def forward(self, x):
        out = self.conv2(F.relu(self.conv1(x)))
        out = F.relu(out + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2)))
        return self.fc(out.view(out.size(0), -1))


class Standardised(nn.Module):
    """A normalisation with buffers, constants on either side, two branches side by side."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 2, 1, 1))
        self.one, self.other = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 2, 3)
        self.fc = nn.Linear(5 * 4 * 4, 3)

    def forward(self, x):
        x = (x - self.mean) / 0.5
        features = torch.cat([F.leaky_relu(self.one(x), 0.1), F.relu(1 - self.other(2 * x))], dim=1)
        return self.fc(torch.flatten(features, 1))


def gallery():
    """Return every network by its name, for images (2, 6, 6) and three classes."""

    def sequence(*layers):
        width = nn.Sequential(*layers, nn.Flatten()).eval()(torch.zeros(1, 2, 6, 6)).shape[1]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, 5), nn.ReLU(), nn.Linear(5, 3))

    conv = nn.Conv2d
    return {
        "linear": nn.Sequential(nn.Flatten(), nn.Linear(72, 3)),
        "dense": nn.Sequential(
            nn.Flatten(), nn.Linear(72, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)
        ),
        "strided": sequence(conv(2, 4, 4, stride=2, padding=1), nn.ReLU(), conv(4, 5, 2), nn.ReLU()),
        "grouped": sequence(
            conv(2, 4, 3, groups=2, padding=1), nn.ReLU(), conv(4, 4, 3, groups=4), nn.ReLU()
        ),
        "dilated": sequence(
            conv(2, 3, 3, dilation=2, padding=2),
            nn.ReLU(),
            conv(3, 3, 3, dilation=2, stride=(1, 2)),
            nn.ReLU(),
        ),
        "same": sequence(
            conv(2, 3, (3, 5), padding="same"), nn.LeakyReLU(0.2), conv(3, 2, 2, stride=(2, 1)), nn.ReLU()
        ),
        "batch norm": sequence(
            conv(2, 3, 3, bias=False),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            conv(3, 3, 3),
            nn.BatchNorm2d(3),
            nn.ReLU(),
        ),
        "leaky": sequence(
            conv(2, 3, 3), nn.LeakyReLU(0.1), nn.Dropout(0.3), conv(3, 3, 3), nn.LeakyReLU(0.3)
        ),
        "average": sequence(
            conv(2, 3, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(3, stride=2, padding=1),
            conv(3, 3, 2),
            nn.ReLU(),
        ),
        "adaptive": sequence(conv(2, 3, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((4, 3))),
        "maximum": sequence(conv(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), conv(3, 3, 2), nn.ReLU()),
        "overlapping": sequence(conv(2, 2, 3, padding=1), nn.MaxPool2d(3, stride=2, padding=1), nn.ReLU()),
        "adaptive maximum": sequence(conv(2, 2, 3, padding=1), nn.AdaptiveMaxPool2d(4), nn.ReLU()),
        "clamped": sequence(conv(2, 3, 3), nn.ReLU6(), nn.Identity(), conv(3, 2, 3), nn.Hardtanh(-0.5, 0.5)),
        "residual": Residual(),
        "shortcut": Shortcut(),
        "standardised": Standardised(),
        "log-probabilities": nn.Sequential(
            nn.Flatten(), nn.Linear(72, 4), nn.ReLU(), nn.Linear(4, 3), nn.LogSoftmax(dim=1)
        ),
    }
