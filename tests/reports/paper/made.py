"""Records and model cards as a run of the paper's experiment leaves them, with statuses chosen by hand."""

import itertools

from reports.board.run_folder import Training
from robench.record.schema import Columns, Finding
from tests.records import record_of

R, B, M = "robust", "broken", "misclassified"
_keys = itertools.count()
NAMES = {
    "fgsm": "attacks.fgsm:FGSM",
    "ifgsm": "attacks.ifgsm:IFGSM",
    "cw": "attacks.cw:CW",
}
OPTIONS = {
    "fgsm": {},
    "ifgsm": {"steps": 40, "step_size": 0.01},
    "cw": {"c": 10.0, "kappa": 0.0, "steps": 100, "learning_rate": 0.003, "binary_search_steps": 1,
           "speed_up": 1.0},
}  # fmt: skip
GRAPH = {"protocol": "joint", "m": 30, "n": 15, "template": 500, "kernel": "gaussian"}
PAPERS_TRAINING = {
    "epochs": 100, "norm": "Linf", "eps": 0.3, "step_size": 0.01, "steps": 40, "learning_rate": 0.1,
    "schedule": "multistep", "warmup_epochs": 0, "clip_norm": None, "attack_precision": "float32",
    "augmentation": "none",
}  # fmt: skip


def details(head="linear", architecture="small_cnn", training="pgd_training", checkpoint="w", **more):
    graph = GRAPH if head == "wnll" else {}
    return {"architecture": architecture, "head": head, "training": training, "checkpoint": checkpoint,
            **graph, **more}  # fmt: skip


def record(target, attack, statuses, *, source=None, gradient="exact", of=None, options=None, eps=0.3,
           dataset="MNIST", split="test", total=None, findings=(), start=0, goal="untargeted"):  # fmt: skip
    n = len(statuses)
    clean = attack == "clean"
    norm, eps = ("L2", "inf") if attack == "cw" else ("Linf", eps)
    source = target if source is None and not clean else source or ""
    return record_of(
        key=f"k{next(_keys)}",
        target={"name": target, "fingerprint": f"f-{target}", "details": of or details()},
        source={"name": source, "fingerprint": "" if clean else f"f-{source}",
                "gradient_source": "" if clean else gradient},
        attack={"label": attack, "name": NAMES.get(attack, "clean"), "library": "robench",
                "options": OPTIONS.get(attack, {}) | (options or {}), "minimises": attack == "cw"},
        threat={} if clean else {"norm": norm, "eps": eps, "eps_text": str(eps), "goal": goal},
        dataset={"name": dataset, "split": split, "digest": "d", "set": "s", "n": total or n},
        seed=0,
        columns=Columns(
            index=list(range(start, start + n)), label=[1] * n,
            clean=[2 if s == M else 1 for s in statuses], adversarial=[1 if s == R else 2 for s in statuses],
            status=list(statuses), linf=[0.1] * n, l2=[1.0] * n, forwards=[1.0] * n, backwards=[1.0] * n,
            first_success=[0] * n,
        ),
        findings=tuple(Finding(code=c, evidence="e", remedy="r") for c in findings),
        provenance={},
    )  # fmt: skip


def card(checkpoint="w", name="pgd_training", images=60000, **options):
    return Training(
        name="net",
        card={"sha256": checkpoint, "defense": {"name": name, "options": PAPERS_TRAINING | options},
              "data": {"title": "MNIST", "images": images}},
        history=({"epoch": 1.0},),
    )  # fmt: skip
