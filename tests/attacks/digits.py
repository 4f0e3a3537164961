"""A small network trained on the handwritten digits of scikit-learn, for comparisons with libraries."""

from functools import cache

import torch
from torch import nn

from robench.model.interface import Model


@cache
def digits_cnn():
    """A network of 97 % accuracy or so, and the 8 x 8 test images it gets right; half a second, once."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    y = torch.from_numpy(data.target).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(144, 10),
        )
        optimizer = torch.optim.Adam(net.parameters(), 5e-3)
        for _ in range(150):
            rows = torch.randint(0, 1500, (64,))
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    net.requires_grad_(False)
    model = Model(name="digits", net=net.eval(), classes=10)
    x, y = x[1500:], y[1500:]
    right = net(x).argmax(dim=1) == y
    assert right.float().mean() > 0.85
    return model, x[right], y[right]


def distance_of(model, x_adv, x, y, norm):
    """Size of each change (B,), infinite where the label is still predicted."""
    with torch.no_grad():
        wrong = model.net(x_adv).argmax(dim=1) != y
    return norm.size(x_adv - x).where(wrong, torch.inf)
