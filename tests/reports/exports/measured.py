"""Records for tests of exports: two models on two boards of MNIST, and an attack without a radius."""

from tests.records import changed
from tests.reports.html.synthetic import made

LARGER = {"eps": 0.2, "eps_text": "0.2"}
ANY = {"eps": "inf", "eps_text": "inf", "norm": "L2"}


def on_mnist(records):
    return [changed(r, dataset={"name": "MNIST"}) for r in records]


def boards():
    """Two models, clean and attacked at two radii, 120 images."""
    records = []
    for seed, name in ((1, "first"), (2, "second")):
        records += [made(name, label, 0, 120, 120, seed=seed) for label in ("clean", "pgd", "fgsm")]
        wider = made(name, "pgd", 0, 120, 120, seed=seed)
        records.append(changed(wider, threat=LARGER, key=f"{wider.key}-wide"))
    return on_mnist(records)


def minimal():
    """One model under an attack without a radius."""
    clean, attack = made("first", "clean", 0, 120, 120, seed=1), made("first", "ddn", 0, 120, 120, seed=1)
    return on_mnist([clean, changed(attack, threat=ANY, attack={"minimises": True})])
