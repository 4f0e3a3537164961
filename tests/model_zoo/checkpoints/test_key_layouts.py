import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model_zoo import robustbench
from model_zoo.builder import ZooBuilder
from model_zoo.catalog import CNNA, CNNTiny, PreActResNet18, ResNet18, SmallCNN, WideResNet
from model_zoo.checkpoints import loading as checkpoints
from model_zoo.network import Network, Normalized
from robench import plugins
from robench.errors import CheckpointError, ConfigError
from robench.plan.spec import Choice, ModelSpec

STATS = ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def made(recipe, normalize=None):
    return Network(recipe(channels=3, size=(8, 8), classes=10), classes=10, normalize=normalize).eval()


def norm(channels, prefix):
    positive = {name: torch.rand(channels) + 0.5 for name in ("weight", "running_var")}
    rest = {name: torch.randn(channels) * 0.1 for name in ("bias", "running_mean")}
    state = {**positive, **rest, "num_batches_tracked": torch.tensor(3)}
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def trades(width=1):
    """Weights of WideResNet10 as TRADES names them, written down without our code."""
    state = {"conv1.weight": torch.randn(16, 3, 3, 3) * 0.2}
    inside = 16
    for number, out in enumerate((16 * width, 32 * width, 64 * width), start=1):
        block = f"block{number}.layer.0"
        state |= norm(inside, f"{block}.bn1") | norm(out, f"{block}.bn2")
        state[f"{block}.conv1.weight"] = torch.randn(out, inside, 3, 3) * 0.1
        state[f"{block}.conv2.weight"] = torch.randn(out, out, 3, 3) * 0.1
        if inside != out:
            state[f"{block}.convShortcut.weight"] = torch.randn(out, inside, 1, 1) * 0.1
        inside = out
    state |= norm(inside, "bn1")
    return state | {"fc.weight": torch.randn(10, inside) * 0.1, "fc.bias": torch.randn(10)}


def run_trades(state, x):
    """The forward pass of TRADES's WideResNet, read off its definition."""

    def activated(t, p):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(t, *(state[f"{p}.{name}"] for name in names)).relu()

    x = F.conv2d(x, state["conv1.weight"], padding=1)
    for number, stride in ((1, 1), (2, 2), (3, 2)):
        p = f"block{number}.layer.0"
        shortcut = state.get(f"{p}.convShortcut.weight")
        first = activated(x, f"{p}.bn1")
        out = activated(F.conv2d(first, state[f"{p}.conv1.weight"], stride=stride, padding=1), f"{p}.bn2")
        out = F.conv2d(out, state[f"{p}.conv2.weight"], padding=1)
        x = out + (x if shortcut is None else F.conv2d(first, shortcut, stride=stride))
    return F.linear(activated(x, "bn1").mean((2, 3)), state["fc.weight"], state["fc.bias"])


def saved(tmp_path, content):
    torch.save(content, tmp_path / "m.pt")
    return tmp_path / "m.pt"


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("wrap", [None, "state_dict", "net", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod.module."])
def test_wide_resnet_of_trades(tmp_path, width, wrap, prefix):
    state = trades(width)
    content = {prefix + key: value for key, value in state.items()}
    path = saved(tmp_path, {wrap: content, "epoch": 76} if wrap else content)
    network = made(WideResNet(depth=10, width=width))
    checkpoints.load(network, path)
    torch.testing.assert_close(network(X), run_trades(state, X), rtol=1e-4, atol=1e-4)


def test_the_block_that_never_runs_is_dropped_and_listed(tmp_path, caplog):
    state = trades(2)
    twin = {f"sub_{k}": torch.randn_like(v.float()) for k, v in state.items() if k.startswith("block1.")}
    network = made(WideResNet(depth=10, width=2))
    with caplog.at_level(logging.WARNING):
        checkpoints.load(network, saved(tmp_path, {"state_dict": state | twin}))
    assert f"dropped {len(twin)} keys sub_block1.*" in caplog.text
    torch.testing.assert_close(network(X), run_trades(state, X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "extra",
    [
        {"sub_block1.layer.0.bn1.weight": torch.zeros(3)},
        {"sub_block1.layer.9.bn1.weight": torch.zeros(16)},
        {"sub_block2.layer.0.bn1.weight": torch.zeros(16)},
        {"model_preact_hl1.1.weight": torch.zeros(16)},
        {"mu": torch.zeros(3)},
    ],
)
def test_unknown_keys_are_refused_under_their_own_names(tmp_path, extra):
    network = made(WideResNet(depth=10, width=2))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"unexpected keys: {next(iter(extra))}"):
        checkpoints.load(network, saved(tmp_path, trades(2) | extra))
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in before.items())


def test_missing_keys_are_refused(tmp_path):
    state = trades()
    del state["block2.layer.0.conv1.weight"]
    with pytest.raises(CheckpointError, match=r"missing keys: backbone\.block2\.0\.conv1\.weight"):
        checkpoints.load(made(WideResNet(depth=10, width=1)), saved(tmp_path, state))
    with pytest.raises(CheckpointError, match="wrong shapes"):
        checkpoints.load(made(WideResNet(depth=10, width=2)), saved(tmp_path, trades(3)))


def test_only_own_names_if_asked(tmp_path):
    path = saved(tmp_path, trades())
    with pytest.raises(CheckpointError, match="missing keys"):
        checkpoints.load(made(WideResNet(depth=10, width=1)), path, layouts=False)


def buffers(names, stats=STATS):
    return {name: torch.tensor(numbers).view(1, 3, 1, 1) for name, numbers in zip(names, stats, strict=True)}


@pytest.mark.parametrize("names", [("mu", "sigma"), ("mean", "std")])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_normalisation_in_the_file_is_compared(tmp_path, names, prefix):
    state = trades()
    path = saved(tmp_path, {prefix + k: v for k, v in (state | buffers(names)).items()})
    network = made(WideResNet(depth=10, width=1), STATS)
    checkpoints.load(network, path)
    expected = run_trades(state, (X - network.normalize.mean) / network.normalize.std)
    torch.testing.assert_close(network(X), expected, rtol=1e-4, atol=1e-4)
    for other in (None, ((0.5,) * 3, (0.5,) * 3)):
        with pytest.raises(CheckpointError, match=r"Set `normalize: \[\[0\.4914"):
            checkpoints.load(made(WideResNet(depth=10, width=1), other), path)


def test_robustbenchs_normalize_model(tmp_path, caplog):
    state = trades()
    content = {f"model.{k}": v for k, v in state.items()} | buffers(("normalize.mean", "normalize.std"))
    checkpoints.load(made(WideResNet(depth=10, width=1), STATS), saved(tmp_path, content))
    assert not caplog.text
    neutral = trades() | buffers(("mu", "sigma"), ((0.0,) * 3, (1.0,) * 3))
    checkpoints.load(made(WideResNet(depth=10, width=1)), saved(tmp_path, neutral))
    assert not caplog.text
    checkpoints.load(made(WideResNet(depth=10, width=1), STATS), saved(tmp_path, state))
    assert "kept the configured normalisation" in caplog.text


def test_normalisation_of_a_foreign_network_is_compared_too(tmp_path):
    def whole():
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 10))

    path = saved(tmp_path, whole().state_dict() | buffers(("mu", "sigma")))
    checkpoints.load(Normalized(whole(), STATS), path)
    for other in (whole(), Normalized(whole(), ((0.5,) * 3, (0.5,) * 3))):
        with pytest.raises(CheckpointError, match="normalisation"):
            checkpoints.load(other, path)


def test_a_users_own_prefix_and_buffers_stay(tmp_path):
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Linear(3, 2)
            self.register_buffer("mean", torch.rand(2))
            self.register_buffer("std", torch.rand(2))

    first, second = Mine(), Mine()
    checkpoints.load(second, saved(tmp_path, {f"module.{k}": v for k, v in first.state_dict().items()}))
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


@pytest.mark.thorough
@pytest.mark.parametrize("recipe", [ResNet18(), PreActResNet18(final_norm=True)])
def test_resnets_of_robustbench(tmp_path, recipe, caplog):
    first, second = made(recipe), made(recipe)
    weights = {f"module.{k.removeprefix('backbone.')}": v for k, v in first.state_dict().items()}
    assert "module.layer2.0.shortcut.0.weight" in weights
    assert "module.linear.weight" in weights
    checkpoints.load(second, saved(tmp_path, {"net": weights, "acc": 95.0}))
    torch.testing.assert_close(second(X), first(X))
    old = {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
    checkpoints.load(second, saved(tmp_path, old))
    assert "num_batches_tracked" in caplog.text
    if isinstance(recipe, PreActResNet18):
        with pytest.raises(CheckpointError, match=r"unexpected keys: bn\.weight"):
            checkpoints.load(made(PreActResNet18()), saved(tmp_path, weights))


def spec(name, **rest):
    return ModelSpec(name="row", architecture=Choice(name=f"robustbench:{name}"), **rest)


def build(made_spec, classes=10):
    with torch.device("meta"):
        return ZooBuilder().network(made_spec, shape=(3, 32, 32), classes=classes, seed=0, trust_code=False)


def test_robustbench_by_name(tmp_path):
    network = ZooBuilder().network(
        spec("cifar10/Linf/Wong2020Fast"), shape=(3, 8, 8), classes=10, seed=0, trust_code=False
    )
    torch.testing.assert_close(network.normalize.mean.flatten(), torch.tensor(STATS[0]))
    assert not network.backbone.layer2[0].activated
    other = made(PreActResNet18(activated_shortcut=False), STATS)
    content = {k.removeprefix("backbone."): v for k, v in other.state_dict().items() if "normalize" not in k}
    ZooBuilder().load(network, saved(tmp_path, content), sha256=None)
    torch.testing.assert_close(network.eval()(X), other(X))
    model = ZooBuilder().model(
        spec("cifar10/Linf/Wong2020Fast"), network, classes=10, training_data=None, seed=0, device="cpu"
    )
    assert model.details["normalize"] == [list(numbers) for numbers in STATS]


@pytest.mark.thorough
def test_robustbench_sizes():
    count = sum(p.numel() for p in build(spec("cifar10/Linf/Zhang2019Theoretically")).parameters())
    assert count == 46_160_474
    with torch.device("meta"):
        recipes, channel_counts = {}, []
        for name in robustbench.names():
            model = robustbench.published(name, where="")
            recipes[repr(model.recipe)] = model.recipe
            if model.normalize is not None:
                channel_counts.append([len(numbers) for numbers in model.normalize])
        assert channel_counts
        assert all(lengths == [3, 3] for lengths in channel_counts)
        for recipe in recipes.values():
            assert recipe(channels=3, size=(32, 32), classes=10).feature_dim >= 128


def test_robustbench_refusals():
    with pytest.raises(ConfigError, match="Did you mean 'cifar10/Linf/Carmon2019Unlabeled'"):
        build(spec("cifar10/Linf/Carmon2019Unlabelled"))
    with pytest.raises(ConfigError, match="Remove `normalize`"):
        build(spec("cifar10/Linf/Wong2020Fast", normalize=((0.5,) * 3, (0.5,) * 3)))
    assert build(spec("cifar10/Linf/Wong2020Fast", normalize=STATS)).feature_dim == 512
    wrong = Choice(name="robustbench:cifar10/Linf/Wong2020Fast", options={"depth": 3})
    with pytest.raises(ConfigError, match="no options"):
        build(ModelSpec(name="row", architecture=wrong))
    assert "robustbench" not in plugins.names("models")


def run_small_cnn(state, x):
    """The forward pass of TRADES's Small-CNN, read off its definition."""

    def layer(function, x, name):
        return function(x, state[f"{name}.weight"], state[f"{name}.bias"])

    for name in ("conv1", "conv2", "pool", "conv3", "conv4", "pool"):
        pool = name == "pool"
        x = F.max_pool2d(x, 2) if pool else layer(F.conv2d, x, f"feature_extractor.{name}").relu()
    x = layer(F.linear, x.flatten(1), "classifier.fc1").relu()
    return layer(F.linear, layer(F.linear, x, "classifier.fc2").relu(), "classifier.fc3")


def weights(shapes):
    generator = torch.Generator().manual_seed(1)
    return {
        f"{name}.{part}": torch.randn(size, generator=generator) * 0.1
        for name, shape in shapes.items()
        for part, size in (("weight", shape), ("bias", shape[:1]))
    }


@pytest.mark.parametrize("prefix", ["", "module."])
def test_small_cnn_of_trades(tmp_path, prefix):
    convolutions = ((32, 1, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3))
    shapes = {f"feature_extractor.conv{i}": shape for i, shape in enumerate(convolutions, start=1)}
    shapes |= {"classifier.fc1": (200, 1024), "classifier.fc2": (200, 200), "classifier.fc3": (10, 200)}
    state = weights(shapes)
    network = Network(SmallCNN()(channels=1, size=(28, 28), classes=10), classes=10).eval()
    checkpoints.load(network, saved(tmp_path, {prefix + name: tensor for name, tensor in state.items()}))
    x = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(network(x), run_small_cnn(state, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("recipe", "shape", "kernel", "padding", "widths", "hidden"),
    [
        (CNNA(), (1, 28, 28), 4, 1, (16, 32, 7 * 7), 100),
        (CNNA(), (3, 32, 32), 4, 1, (16, 32, 8 * 8), 100),
        (CNNTiny(), (1, 28, 28), 5, 2, (4, 8, 7 * 7), 128),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_numbered_sequential(tmp_path, recipe, shape, kernel, padding, widths, hidden, prefix, normalize):
    channels, (first, second, places) = shape[0], widths
    state = weights(
        {"0": (first, channels, kernel, kernel), "2": (second, first, kernel, kernel),
         "5": (hidden, second * places), "7": (10, hidden)}
    )  # fmt: skip
    statistics = ((0.4,) * channels, (0.3,) * channels) if normalize else None
    network = Network(
        recipe(channels=channels, size=shape[1:], classes=10), classes=10, normalize=statistics
    ).eval()
    checkpoints.load(network, saved(tmp_path, {prefix + name: tensor for name, tensor in state.items()}))
    x = torch.rand(3, *shape)
    z = (x - 0.4) / 0.3 if normalize else x
    for name in ("0", "2"):
        z = F.conv2d(z, state[f"{name}.weight"], state[f"{name}.bias"], stride=2, padding=padding).relu()
    z = F.linear(z.flatten(1), state["5.weight"], state["5.bias"]).relu()
    expected = F.linear(z, state["7.weight"], state["7.bias"])
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


def test_a_sequential_of_another_shape_is_refused_by_its_own_names(tmp_path):
    state = weights(
        {"0": (16, 1, 4, 4), "2": (32, 16, 4, 4), "5": (100, 1568), "7": (50, 100), "9": (10, 50)}
    )
    network = Network(CNNA()(channels=1, size=(28, 28), classes=10), classes=10)
    with pytest.raises(CheckpointError, match=r"unexpected keys: 7\.weight.*wrong shapes: linear\.weight"):
        checkpoints.load(network, saved(tmp_path, state))
