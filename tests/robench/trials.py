"""Random networks with images, and their verdicts under attacks compared with those of plain loops."""

from dataclasses import dataclass, field

import torch

from robench.api import benchmark, make_attack, wrap
from robench.attack.craft import CraftSettings, craft
from robench.attack.norms import norm_named
from robench.attack.threat import ThreatModel
from robench.data.images import image_set
from robench.judge.verdict import landing
from robench.randomness import seed_from
from tests.robench.plain_loops import Untouched, ascended, crafted, margins
from tests.robench.random_networks import drawn

SEED = 3
IMAGES = 8
NOISE = 1e-6
"""How far rounding moves the scores of a well-conditioned network, as a part of the largest."""
COARSE = 2e-3
"""The same where a part of the network computes in 16 bits."""
MARGIN = 1e-4
"""A margin of so small a part of the largest score, or of ten times the noise, may go either way."""
NUDGED = 8
"""By how many changes of images and gradients, as large as the noise, a plain verdict must not be moved."""
MOST_EXCUSED = 0.02
"""Most of the verdicts of one test that may differ because rounding decided."""

EPS = (0.004, 0.01, 0.03, 0.1, 0.3)
PLAIN = {
    "fgsm": ("fgsm", {}),
    "ifgsm": ("ifgsm", {"steps": 6, "step_size": 0.01}),
    "pgd": ("pgd", {"steps": 6, "random_start": False}),
}
"""What has a loop of its own in `plain_loops`: label to name and options."""
OTHERS = {
    "pgd, restarts": ("pgd", {"steps": 5, "restarts": 2}),
    "mifgsm": ("mifgsm", {"steps": 5}),
    "difgsm": ("difgsm", {"steps": 5}),
    "tifgsm": ("tifgsm", {"steps": 5, "kernel_size": 3}),
    "apgd": ("apgd", {"steps": 10}),
    "apgd_targeted": ("apgd_targeted", {"steps": 6, "classes": 2}),
    "fab": ("fab", {"steps": 6}),
    "fab_targeted": ("fab_targeted", {"steps": 5, "classes": 2}),
    "square": ("square", {"queries": 30}),
    "economical": (
        "economical_autoattack",
        {
            "first_steps": 6, "steps": 5, "classes": 2, "fab_steps": 5, "fab_classes": 2, "near_steps": 6,
            "rounds": 2, "near_tries": 1, "least_queries": 10, "queries": 20,
            "end_steps": 5, "refine_queries": 10,
        },
    ),
    "deepfool": ("deepfool", {"steps": 6}),
    "fmn": ("fmn", {"steps": 15}),
    "spsa": ("spsa", {"steps": 4, "samples": 8}),
    "hopskipjump": ("hopskipjump", {"steps": 2, "samples": 12, "most_samples": 20, "trials": 15}),
    "noise": ("noise", {"points": 8}),
    "universal": ("universal", {"sweeps": 1, "steps": 4}),
}  # fmt: skip
EUCLIDEAN = {"cw": ("cw", {"steps": 15}), "ddn": ("ddn", {"steps": 15})}
QUICK = (*OTHERS, *EUCLIDEAN)
LIBRARIES = {
    "art/pgd": ("art/pgd", {"steps": 4}),
    "torchattacks/pgd": ("torchattacks/pgd", {"steps": 4}),
    "autoattack": ("autoattack", {"scale": 0.05}),
}
"""What is too long for the fast tests."""


def verdicts(net, data, attacks, *, norm, eps):
    """What the toolkit says: label of each attack to the status of each image."""
    model = wrap(net, name="net", classes=len(data.classes))
    outcome = benchmark([model], data, attacks=attacks, norm=norm, eps=eps, seed=SEED)
    if outcome.failures:
        raise RuntimeError(outcome.failures[0][-300:])
    return {record.attack.label: [str(s) for s in record.columns.status] for record in outcome.records}


def proposed(net, x, y, attack, threat, classes):
    """Where the toolkit's attack ends, (B, C, H, W)."""
    result = craft(
        wrap(net, name="net", classes=classes), attack, x, y,
        threat=threat, indices=torch.arange(len(x)), settings=CraftSettings(seed=seed_from(SEED, "craft")),
    )  # fmt: skip
    return landing(x, result.x_adv, threat).point


def plain(net, x, y, label, attack, threat, classes):
    """Where the plain way ends, and which images (B,) it breaks."""
    if label not in PLAIN:
        return crafted(net, x, y, attack, threat, classes=classes, seed=SEED)
    steps = 1 if label == "fgsm" else attack.steps
    size = {"fgsm": threat.eps, "pgd": 2.5 * threat.eps / steps}.get(label, 0.01)
    return ascended(net, x, y, eps=threat.eps, step_size=size, steps=steps)


@dataclass
class Tally:
    """How many verdicts were compared, how many differ by rounding alone, and what else differs, in words."""

    compared: int = 0
    excused: int = 0
    wrong: list[str] = field(default_factory=list)

    def confirm(self):
        """Fail unless all verdicts agree but for the few that rounding decides."""
        assert not self.wrong, "\n".join(self.wrong)
        assert self.excused <= MOST_EXCUSED * self.compared, f"{self.excused} of {self.compared} by rounding"


@dataclass(frozen=True)
class Trial:
    """One random network with images for it, of which about half fall at the radius `eps`."""

    seed: int
    net: torch.nn.Module
    untouched: torch.nn.Module
    kinds: tuple[str, ...]
    data: object
    eps: float

    @classmethod
    def of(cls, seed):
        one, other = drawn(seed), drawn(seed)
        net = Untouched(other.net.eval())
        pixels = torch.randint(
            0, 256, (IMAGES, *one.shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
        )
        with torch.no_grad():
            y = net(pixels / 255).argmax(dim=1)

        def uneven(eps):
            wrong = ascended(net, pixels / 255, y, eps=eps, step_size=eps, steps=1)[1]
            return abs(float(wrong.float().mean()) - 0.4)

        eps = min(EPS, key=uneven)
        y[0] = (y[0] + 1) % one.classes  # misclassified from the start
        return cls(seed, one.net, net, one.kinds, image_set(pixels, y, classes=one.classes), eps)

    def noise(self):
        """How far rounding moves the scores, as a part of the largest: float32 against float64, at least."""
        if {"bfloat16", "float16"} & {*self.kinds}:
            return COARSE
        x, _ = self.data.batch(slice(None))
        exact = Untouched(drawn(self.seed).net.eval().double())
        for part, other in zip(exact.modules(), self.untouched.modules(), strict=True):
            vars(part).update({name: value for name, value in vars(other).items() if name == "flag"})
        with torch.no_grad():
            scores = self.untouched(x)
            return max(NOISE, float((scores - exact(x.double())).abs().amax() / scores.abs().amax()))

    def compare(self, chosen, tally, *, norm="Linf"):
        """Tell where the verdicts of the chosen attacks are not the plain ones."""
        (x, y), classes = self.data.batch(slice(None)), len(self.data.classes)
        # As long a Euclidean step as one that changes a third of the pixels by eps.
        eps = self.eps if norm == "Linf" else self.eps * (x[0].numel() / 3) ** 0.5
        threat = ThreatModel(norm=norm_named(norm), eps=eps)
        recipes = {label: make_attack(name, **options) for label, (name, options) in chosen.items()}
        try:
            codes = verdicts(self.net, self.data, recipes, norm=norm, eps=eps)
        except RuntimeError as error:
            tally.wrong.append(f"seed {self.seed} {self.kinds}: {error}")
            return
        with torch.no_grad():
            clean = self.untouched(x).argmax(dim=1) == y
        for label, attack in recipes.items():
            end, breaks = plain(self.untouched, x, y, label, attack, threat, classes)
            pairs = zip(clean.tolist(), breaks.tolist(), strict=True)
            expected = ["misclassified" if not c else "broken" if b else "robust" for c, b in pairs]
            differ = [i for i in range(IMAGES) if codes[label][i] != expected[i]]
            tally.compared += IMAGES
            if not differ:
                continue
            ours = proposed(self.net, x, y, attack, threat, classes)
            close = torch.minimum(margins(self.untouched, end, y), margins(self.untouched, ours, y))
            noise = self.noise()
            near = close < max(MARGIN, 10 * noise)
            for draw in range(NUDGED):
                neighbour = Untouched(self.untouched.net, nudge=noise, seed=draw)
                near |= plain(neighbour, x, y, label, attack, threat, classes)[1] != breaks
            tally.excused += int(near[differ].sum())
            tally.wrong += [
                f"seed {self.seed} {self.kinds}: {label}, image {i}: {codes[label][i]}, plainly {expected[i]}"
                for i in differ
                if not near[i]
            ]
