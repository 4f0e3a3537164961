"""Tiny WNLL-headed models on the digits, shared by the tests of attacks on graph heads."""

import torch

from model_zoo.catalog import DigitsCNN, RawPixels
from model_zoo.datasets import Digits
from model_zoo.heads.wnll import WNLL
from model_zoo.heads.wnll_published import WNLLPublished
from model_zoo.network import Network

TRAIN, TEST = Digits()("train"), Digits()("test")
X, Y = TEST.batch(slice(0, 20))
GRAPH = {"m": 8, "n": 4, "template": 60}


def network(raw=False, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        recipe = RawPixels() if raw else DigitsCNN()
        return Network(recipe(channels=1, size=(8, 8), classes=10), classes=10, linear=not raw, **options)


def headed(head, net=None, seed=0, data=TRAIN):
    return head(
        net or network(buffer=16), name="toy", classes=10, training_data=lambda: data, seed=seed,
        device="cpu", details={},
    )  # fmt: skip


def wnll(protocol="independent", net=None, **options):
    return headed(WNLL(protocol=protocol, **(GRAPH | options)), net)


def published(net=None, seed=0, data=TRAIN, **options):
    return headed(WNLLPublished(**(GRAPH | options)), net, seed, data)
