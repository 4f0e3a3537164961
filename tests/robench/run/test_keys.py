"""Keys of units: what enters them, and what leaves them as they were."""

import torch

from robench.data.images import image_set
from robench.run import jobs, keys
from robench.run.evaluated_model import EvaluatedModel
from robench.run.settings import Settings
from robench.run.shards import Shard
from tests.truths import images, small_net


def key():
    model = small_net()
    labels = torch.zeros(4, dtype=torch.int64)
    data = image_set(images(4), labels, name="toy", split="test", classes=4)
    shard = Shard(data=data, digest="d", set_digest="w", total=4)
    target = EvaluatedModel(model=model, fingerprint="f")
    return jobs.clean_job(target, shard, Settings()).units[0].key


def test_another_rule_for_what_is_robust_gives_other_keys(monkeypatch):
    """Or a run would be resumed under the verdicts of the earlier rule."""
    first = key()
    assert key() == first
    monkeypatch.setattr(keys, "JUDGE", keys.JUDGE + 1)
    assert key() != first
