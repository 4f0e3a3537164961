"""One script for a lent GPU: its tests, then attacks and training beside their peers, then the card's limit.

`python -m benchmarks.gpu --out FILE` (`make gpu`). Networks have seeded weights, which is enough for timing,
and images are noise, so nothing has to be brought along. A part that could not be finished in the minutes
that are left is skipped, and the report says so. `--rehearse` does all of it at toy sizes on the processor.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import models
from benchmarks.timing import alternate
from robench import plugins
from robench.attack.craft import CraftSettings, craft
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.judge.verdict import judge
from robench.machine import hardware, versions
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from robench.record.schema import Status

EPS, STEP = 8 / 255, 2 / 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large everything is.

    Attributes:
        networks: architectures of the zoo.
        side: height and width of the images, of three colours.
        images: images of an attack; those of AutoAttack.
        steps: of PGD; one table each.
        batch: images of a training step.
        repeats: counted rounds.
        cascades: options of our AutoAttack and of the economical one.
    """

    networks: tuple[str, ...]
    side: int
    images: tuple[int, int]
    steps: tuple[int, ...]
    batch: int
    repeats: int
    cascades: tuple[dict[str, Any], dict[str, Any]] = ({}, {})


FULL = Size(
    networks=("resnet18", "preact_resnet18", "wide_resnet34_10"),
    side=32, images=(500, 100), steps=(20, 100), batch=128, repeats=3,
)  # fmt: skip
TOY = Size(
    networks=("resnet20",), side=8, images=(6, 1), steps=(2,), batch=4, repeats=1,
    cascades=(
        {"scale": 0.01},
        {
            "first_steps": 2, "steps": 2, "fab_steps": 2, "near_steps": 2, "near_tries": 1, "rounds": 1,
            "least_queries": 5, "queries": 20, "end_steps": 2, "refine_queries": 5,
        },
    ),
)  # fmt: skip

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Where it runs, and until when.

    Attributes:
        device: of torch.
        size: how large everything is.
        deadline: by `time.monotonic`.
    """

    device: str
    size: Size
    deadline: float

    def waited(self, call: Call) -> Call:
        """Return a call that ends when the device has done what it was told."""

        def run() -> Any:
            value = call()
            if self.device.startswith("cuda"):
                torch.cuda.synchronize()
            return value

        return run

    def model(self, architecture: str) -> Model:
        """Return a network with seeded weights on the device, in evaluation mode."""
        torch.manual_seed(0)
        shape = (3, self.size.side, self.size.side)
        net = models.network(architecture, shape, 10).to(self.device).eval()
        return Model(name=architecture, net=net, classes=10)

    def images(self, model: Model, count: int) -> tuple[Tensor, Tensor]:
        """Return noise (N, 3, H, W) on the device and what the network answers to it (N,)."""
        generator = torch.Generator().manual_seed(1)
        x = torch.rand(count, 3, self.size.side, self.size.side, generator=generator).to(self.device)
        with torch.no_grad():
            return x, model.net(x).argmax(dim=1)


def _crafted(
    model: Model, x: Tensor, y: Tensor, name: str, eps: float, *, eager: bool, drop: bool, **options: Any
) -> Call:
    attack = plugins.find("attacks", name)(**options)
    settings = CraftSettings(drop=drop, batch_size=len(x))
    indices = torch.arange(len(x))

    def run() -> Tensor:
        copies = PreparedModel(model, eager=eager)
        result = craft(
            model, attack, x, y, threat=ThreatModel(norm=LINF, eps=eps), indices=indices, settings=settings,
            prepared=copies,
        )  # fmt: skip
        return result.x_adv

    return run


def _torchattacks(model: Model, x: Tensor, y: Tensor, make: Callable[[Any, nn.Module], Any]) -> Call:
    import torchattacks

    attack = make(torchattacks, copy.deepcopy(model.net))
    return lambda: attack(x, y)


def _foolbox(model: Model, x: Tensor, y: Tensor, steps: int) -> Call:
    import foolbox

    their_model = foolbox.PyTorchModel(copy.deepcopy(model.net).eval(), bounds=(0, 1), device=x.device)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=steps)
    return lambda: attack(their_model, x, y, epsilons=EPS)[1]


def _reference(model: Model, x: Tensor, y: Tensor, eps: float) -> Call:
    from pyautoattack import AutoAttack

    net = copy.deepcopy(model.net)

    def run() -> Tensor:
        cascade = AutoAttack(net, norm="Linf", eps=eps, seed=0, version="standard", device=x.device)
        x_adv: Tensor = cascade.run_standard_evaluation(x.clone(), y.clone(), batch_size=len(x))[0]
        return x_adv

    return run


def there(package: str) -> bool:
    """Tell whether a peer is installed; one that is not has no line in a table."""
    return importlib.util.find_spec(package) is not None


def _robust(model: Model, x: Tensor, y: Tensor, x_adv: Tensor, eps: float) -> Tensor:
    verdict = judge(model, x, y, x_adv.detach().float(), threat=ThreatModel(norm=LINF, eps=eps))
    return torch.tensor([status is Status.ROBUST for status in verdict.status])


def _table(
    card: Card,
    title: str,
    model: Model,
    x: Tensor,
    y: Tensor,
    rivals: dict[str, Call],
    eps: float,
    *,
    warmup: int = 1,
) -> list[str]:
    proposals: dict[str, Tensor] = {}

    def kept(name: str, call: Call) -> Call:
        return lambda: proposals.update({name: call()})

    calls = {name: card.waited(kept(name, call)) for name, call in rivals.items()}
    timing = alternate(calls, repeats=card.size.repeats, warmup=warmup)
    robust = {name: _robust(model, x, y, x_adv, eps) for name, x_adv in proposals.items()}
    lines = [
        f"### {title}, {model.name}, {len(x)} images",
        "",
        "| attack | median s | images/s | its time / ours | robust | verdicts unlike `as it is` |",
        "|---|---|---|---|---|---|",
    ]
    for name in rivals:
        seconds = timing.median(name)
        unlike = int((robust[name] != robust["robench, as it is"]).sum())
        lines.append(
            f"| {name} | {seconds:.3f} | {len(x) / seconds:.1f} | {timing.ratio(name):.2f} "
            f"| {int(robust[name].sum())} | {unlike} |"
        )
    return [*lines, ""]


def pgd(card: Card, architecture: str, steps: int) -> list[str]:
    """Time PGD with a random start of ours, with the prepared copy and without, and of two peers."""
    model = card.model(architecture)
    x, y = card.images(model, card.size.images[0])
    options: dict[str, Any] = {"steps": steps, "step_size": STEP, "drop": False}
    rivals: dict[str, Call] = {
        "robench": _crafted(model, x, y, "pgd", EPS, eager=False, **options),
        "robench, as it is": _crafted(model, x, y, "pgd", EPS, eager=True, **options),
    }
    if there("torchattacks"):
        rivals["torchattacks"] = _torchattacks(
            model, x, y, lambda ta, net: ta.PGD(net, eps=EPS, alpha=STEP, steps=steps)
        )
    if there("foolbox"):
        rivals["foolbox"] = _foolbox(model, x, y, steps)
    return _table(card, f"PGD-{steps}, Linf 8/255", model, x, y, rivals, EPS)


def cascades(card: Card, architecture: str) -> list[str]:
    """Time AutoAttack at a radius where FGSM leaves about half: with seeded weights all fall at 8/255."""
    model = card.model(architecture)
    x, y = card.images(model, card.size.images[1])
    eps = EPS
    while eps > 1e-6:
        fgsm = _crafted(model, x, y, "fgsm", eps, eager=True, drop=False)
        if int(_robust(model, x, y, fgsm(), eps).sum()) * 2 >= len(x):
            break
        eps /= 2
    standard, economical = card.size.cascades
    rivals: dict[str, Call] = {
        "robench": _crafted(model, x, y, "autoattack", eps, eager=False, drop=True, **standard),
        "robench, as it is": _crafted(model, x, y, "autoattack", eps, eager=True, drop=True, **standard),
        "robench, economical": _crafted(
            model, x, y, "economical_autoattack", eps, eager=False, drop=True, **economical
        ),
    }
    if there("pyautoattack"):
        rivals["reference"] = _reference(model, x, y, eps)
    elif there("torchattacks"):
        rivals["torchattacks' copy of the reference"] = _torchattacks(
            model, x, y, lambda ta, net: ta.AutoAttack(net, eps=eps, version="standard", n_classes=10)
        )
    once = replace(card, size=replace(card.size, repeats=1))  # a cascade takes long
    return _table(once, f"AutoAttack, Linf {eps * 255:.3g}/255", model, x, y, rivals, eps, warmup=0)


def training(card: Card, architecture: str) -> list[str]:
    """Time PGD training (7 steps) of ours against a bare loop, as seconds of one step of a batch."""
    from robench.data.images import image_set

    steps = 4
    size = card.size
    pixels = torch.randint(
        0, 256, (steps * size.batch, 3, size.side, size.side), dtype=torch.uint8,
        generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    data = image_set(pixels, torch.arange(len(pixels)) % 10, name="noise", split="train", classes=10)
    net = card.model(architecture).net
    common = {
        "epochs": 1, "batch_size": size.batch, "validation": 0.0, "keep": "last", "schedule": "constant",
        "eps": EPS, "steps": 7, "step_size": STEP, "warmup_epochs": 0.0, "learning_rate": 0.01,
    }  # fmt: skip
    context = models.training_context(card.device)

    def ours(**options: Any) -> Call:
        trainer = models.defense("pgd_training", **common, **options)
        return lambda: trainer(copy.deepcopy(net), data, context=context)

    def bare() -> None:
        model = copy.deepcopy(net).train()
        optimizer = torch.optim.SGD(
            model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        for rows in torch.split(torch.arange(len(pixels)), size.batch):
            x = (pixels[rows].float() / 255).to(card.device)
            y = data.labels[rows].to(card.device)
            model.eval()
            point = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp(0, 1)
            for _ in range(7):
                point.requires_grad_(True)
                (slope,) = torch.autograd.grad(F.cross_entropy(model(point), y), point)
                point = point.detach() + STEP * slope.sign()
                point = torch.min(torch.max(point, x - EPS), x + EPS).clamp(0, 1)
            model.train()
            optimizer.zero_grad()
            F.cross_entropy(model(point.detach()), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    rivals: dict[str, Call] = {
        "robench": ours(), "robench, attack_precision: bfloat16": ours(attack_precision="bfloat16"),
        "bare loop": bare,
    }  # fmt: skip
    timing = alternate({n: card.waited(c) for n, c in rivals.items()}, repeats=size.repeats)
    rows = [
        f"| {name} | {1e3 * timing.median(name) / steps:.1f} | {timing.ratio(name):.2f} |" for name in rivals
    ]
    title = f"### PGD training, 7 steps, {architecture}, batches of {size.batch}"
    return [title, "", "| loop | ms a step | its time / ours |", "|---|---|---|", *rows, ""]


def limit(card: Card, architecture: str) -> list[str]:
    """Compare operations a second of one gradient step with those of the fastest product of matrices."""
    from torch.utils.flop_counter import FlopCounterMode

    model = card.model(architecture)
    x, y = card.images(model, card.size.images[0])

    def step() -> Tensor:
        point = x.clone().requires_grad_(True)
        # The counter of operations cannot watch a network whose input is a leaf.
        return torch.autograd.grad(F.cross_entropy(model.net(point + 0), y), point)[0]

    for weight in model.net.parameters():
        weight.requires_grad_(False)
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    side = 4096 if card.size is FULL else 256
    one, right = (torch.rand(side, side, device=card.device) for _ in range(2))
    rivals: dict[str, Call] = {"step": step, "product": lambda: one @ right}
    timing = alternate(
        {n: card.waited(c) for n, c in rivals.items()}, repeats=5 * card.size.repeats, warmup=3
    )
    rate = counter.get_total_flops() / timing.median("step")
    most = 2 * side**3 / timing.median("product")
    return [
        f"- One gradient of {architecture} on {len(x)} images: {rate / 1e12:.2f} TFLOP/s in float32, "
        f"{100 * rate / most:.0f} % of a product of two {side} x {side} matrices ({most / 1e12:.2f})."
    ]


def tests(card: Card) -> list[str]:
    """Run the tests marked `gpu`, and return what pytest says at the end."""
    seconds = max(30.0, min(150.0, card.deadline - time.monotonic()))
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu", "-p", "no:cacheprovider"]
    where = os.environ | ({"ROBENCH_GPU_REHEARSAL": "1"} if card.device == "cpu" else {})
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, env=where
        )
    except subprocess.TimeoutExpired:
        return [f"`pytest -m gpu`: not finished after {seconds:.0f} s", ""]
    tail = process.stdout.strip().splitlines()[-12:]
    return [f"`pytest -m gpu` (exit code {process.returncode}):", "", "```", *tail, "```", ""]


def parts(card: Card) -> list[tuple[str, float, Callable[[], list[str]]]]:
    """Return what is measured, in order: title, seconds that it may need on a card, and the call."""
    first, *others = card.size.networks
    slow = {"wide_resnet34_10": 3.0}
    tasks: list[tuple[str, float, Callable[[], list[str]]]] = [("tests", 60.0, lambda: tests(card))]
    for name in (first, *others):
        for steps in card.size.steps:
            seconds = 0.4 * steps * slow.get(name, 1.0)
            tasks.append((f"PGD-{steps}, {name}", seconds, lambda n=name, s=steps: pgd(card, n, s)))  # type: ignore[misc]
        tasks.append((f"training, {name}", 15.0, lambda n=name: training(card, n)))  # type: ignore[misc]
        tasks.append((f"limit, {name}", 10.0, lambda n=name: limit(card, n)))  # type: ignore[misc]
    tasks.append((f"AutoAttack, {first}", 90.0, lambda: cascades(card, first)))
    return tasks


def main() -> None:
    """Measure part after part; what is done is written at once, so that a cut costs one part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="most minutes in all (default 8)")
    parser.add_argument("--out", type=Path, help="also write the Markdown to this file")
    parser.add_argument("--rehearse", action="store_true", help="toy sizes on the processor")
    arguments = parser.parse_args()
    device = "cpu" if arguments.rehearse else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        parser.exit(
            2, "expected a CUDA device, got none. Use --rehearse to try the script on the processor\n"
        )
    size = TOY if arguments.rehearse else FULL
    card = Card(device=device, size=size, deadline=time.monotonic() + 60 * arguments.minutes)
    packages = ", ".join(f"{name} {version}" for name, version in versions().items() if version != "absent")
    where = torch.cuda.get_device_name() if device == "cuda" else hardware("cpu")["machine"]
    text = [f"{'Rehearsal on ' * arguments.rehearse}{where}. {packages}.", ""]
    for title, seconds, measure in parts(card):
        began = time.monotonic()
        if not arguments.rehearse and began + seconds > card.deadline:
            text += [f"- {title}: not reached in {arguments.minutes:g} minutes.", ""]
        else:
            text += measure()
        print(f"{title}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        if arguments.out:
            arguments.out.write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
