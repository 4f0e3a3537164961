"""A run folder made up from nothing: any number of models, attacks and images, the same each time."""

import numpy as np
from safetensors.numpy import save_file

from robench.record.feature_snapshot import Cloud, FeatureSnapshot, Nearest, write_snapshot
from robench.record.schema import Columns, Finding
from robench.record.store import Store
from tests.records import changed, record_of

SHARD = 500
THREAT = {
    "norm": "Linf", "eps": 0.1, "eps_text": "0.1", "goal": "untargeted", "bounds": [0.0, 1.0],
    "knowledge": ["weights"], "budget": None,
}  # fmt: skip


def columns(rng, start, count, hardness, clean):
    label = rng.integers(0, 10, count)
    right = rng.random(count) < 0.95
    breaks = right & (rng.random(count) < hardness) & (not clean)
    status = np.where(breaks, "broken", np.where(right, "robust", "misclassified"))
    before = np.where(right, label, (label + 1) % 10)
    zeros = np.zeros(count)
    first = np.where(breaks, rng.integers(1, 41, count), 0)
    queries = np.where(clean, 0, np.full(count, 40))
    return Columns(
        index=list(range(start, start + count)),
        label=label.tolist(),
        clean=before.tolist(),
        adversarial=np.where(breaks, (label + 2) % 10, before).tolist(),
        status=status.tolist(),
        linf=(zeros if clean else zeros + 0.1).tolist(),
        l2=(zeros if clean else rng.random(count)).tolist(),
        forwards=(zeros if clean else zeros + 40).tolist(),
        backwards=(zeros if clean else zeros + 40).tolist(),
        first_success=first.tolist(),
        points=queries.tolist(),
        tries=(queries // 10).tolist(),
        first_passes=(2 * first).tolist(),
        first_try=np.where(breaks, 1 + first // 11, 0).tolist(),
    )


def made(name, attack, start, count, total, *, seed, findings=()):
    rng = np.random.default_rng([seed, start])
    fingerprint = f"{seed:064x}"
    clean = attack == "clean"
    return record_of(
        key=f"unit-{seed}-{start}-{hash_of(attack)}",
        target={"name": name, "fingerprint": fingerprint, "output": "logits", "coupling": "independent",
                "sources": ["exact"], "details": {"architecture": "toy", "head": "linear"}},
        source={"name": "" if clean else name, "fingerprint": "" if clean else fingerprint,
                "gradient_source": "" if clean else "exact"},
        attack={"label": attack, "name": attack, "options": {}, "library": "robench", "minimises": False},
        threat={} if clean else THREAT,
        dataset={"name": "toy", "split": "test", "digest": f"shard{start}", "set": "all", "n": total,
                 "classes": [f"class {i}" for i in range(10)]},
        seed=0,
        columns=columns(rng, start, count, (seed % 7 + 1) / 20 + len(attack) % 5 / 40, clean),
        findings=tuple(Finding(code=c, evidence="what was seen", remedy="do that") for c in findings),
        provenance={"versions": {"robench": "0"}, "crafted": "" if clean else f"adv{start}"},
    )  # fmt: skip


def hash_of(attack):
    return sum(ord(c) * (i + 1) for i, c in enumerate(attack))


def space(store, seed, size):
    """Keep the feature space of the model of a seed under the first attack, and return its key.

    Two models in a row share their features; the second remembers images.
    """
    rng = np.random.default_rng(seed // 2 + 100)
    count, width = 200, 32
    label = np.arange(count) % 2
    clean = rng.normal(size=(count, width)) + 3.0 * label[:, None] * (np.arange(width) == 0)
    after = clean + np.random.default_rng(seed).normal(size=clean.shape)
    cloud = Cloud(
        classes=(0, 1), choice="most often taken for each other under attack, 5 times over all models",
        index=np.arange(count), label=label, clean=label, adversarial=(label + (after[:, 0] < 1.5)) % 2,
        clean_features=clean.astype(np.float32), adversarial_features=after.astype(np.float32),
    )  # fmt: skip
    nearest = Nearest(
        template=100, index=np.array([0, 1, 2, 3]), label=np.array([0, 1, 2, 3]),
        clean=np.array([0, 1, 2, 3]), adversarial=np.array([1, 2, 3, 3]),
        queries=rng.integers(0, 256, (4, 2, 1, size, size), dtype=np.uint8),
        ids=np.tile(np.arange(5), (4, 2, 1)), labels=np.tile(np.arange(5), (4, 2, 1)),
        distances=np.tile(np.arange(5) / 4, (4, 2, 1)), picture=np.tile(np.arange(5), (4, 2, 1)),
        pictures=rng.integers(0, 256, (5, 1, size, size), dtype=np.uint8),
    )  # fmt: skip
    units = (f"unit-{seed}-0-{hash_of('attack-0')}",)
    key = f"space-{seed}"
    graph = nearest if seed % 2 else None
    write_snapshot(store.snapshot(key), FeatureSnapshot(units=units, cloud=cloud, nearest=graph))
    return key


def run_folder(root, *, models=3, attacks=2, images=120, size=8, names=None, findings=("zero-gradient",),
               spaces=False):  # fmt: skip
    """Write the folder of a run and return it; names of models repeat `names` if given."""
    store = Store(root)
    store.prepare()
    keys = []
    titles = names or [f"model-{i:02}" for i in range(models)]
    for start in range(0, images, SHARD):
        count = min(SHARD, images - start)
        for seed, name in enumerate(titles, start=1):
            own_findings = findings if seed == 2 else ()
            for attack in ("clean", *(f"attack-{i:0{1 + i % 3}}" for i in range(attacks))):
                record = made(name, attack, start, count, images, seed=seed,
                              findings=() if attack == "clean" else own_findings)  # fmt: skip
                store.write(record)
                keys.append(record.key)
        rng = np.random.default_rng(start)
        pixels = rng.integers(0, 256, (count, 1, size, size), dtype=np.uint8)
        noise = rng.choice([-0.1, 0.1], pixels.shape)
        save_file({"images": pixels, "index": np.arange(start, start + count)}, store.images(f"shard{start}"))
        x_adv = (pixels / 255 + noise).clip(0, 1).astype(np.float32)
        save_file({"x_adv": x_adv}, store.adv(f"adv{start}"))
    geometry = [space(store, seed, size) for seed in range(1, len(titles) + 1)] if spaces else []
    store.write_json("run.json", {
        "geometry": geometry,
        "name": "synthetic", "status": "finished", "units": keys, "expected": len(keys), "failed_models": {},
        "command": "robench run toy.yaml", "versions": {"robench": "0"}, "device": "cpu",
    })  # fmt: skip
    store.write_text("config.yaml", "schema: 1\nname: synthetic # <b>\n")
    folder = store.model("model-00-0123")
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["epoch,stage,loss,train_accuracy,validation_accuracy,best"]
    for epoch in range(1, 9):
        stage, best = 1 + (epoch > 5), int(epoch == 7)
        lines.append(f"{epoch},{stage},{2 / epoch},{1 - 1 / epoch},{max(0, 1 - 1.1 / epoch)},{best}")
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    card = "name: model-00\nsha256: abc\ndefense: {name: natural, options: {epochs: 8}}\n"
    (folder / "weights.card.yaml").write_text(card)
    return root


def trained_run(root):
    """Return a run folder of one model whose training is told beside its weights, and the records."""
    folder = run_folder(root, models=1, images=20)
    text = "sha256: abc\ndefense: {name: pgd_training, options: {eps: 0.3, steps: 7, norm: Linf}}\n"
    (folder / "models" / "model-00-0123" / "weights.card.yaml").write_text(text)
    more = {"checkpoint": "abc", "training": "pgd_training"}
    records = Store(folder).read_records()
    return folder, [changed(r, target={"details": {**r.target.details, **more}}) for r in records]
