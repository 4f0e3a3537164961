"""What a study on ImageNet costs follows from measured passes by a formula that is checked by hand."""

import pytest
import torch

from benchmarks import imagenet_cost
from benchmarks.imagenet_cost import CASCADES, Study, resnet50


def test_the_line_goes_through_what_was_measured():
    for line in CASCADES.values():
        for share, *passes in (line.first, line.second):
            assert line.at(share) == pytest.approx(passes)
        middle = (line.first[0] + line.second[0]) / 2
        halves = zip(line.first[1:], line.second[1:], strict=True)
        assert line.at(middle) == pytest.approx([sum(pair) / 2 for pair in halves])
        assert min(line.at(0.0)) >= 0


def test_gpu_hours_by_hand():
    study = Study(models=2, images=1800, robust=0.5, gpus=4, price=3.0)
    # 3,600 images of 100 forwards at 50 a second and 30 backwards at 10 a second: 5 s each
    assert study.hours((100.0, 30.0), (50.0, 10.0)) == pytest.approx(5.0)
    (line,) = [
        one for one in imagenet_cost.report(study, (50.0, 10.0), "here") if one.startswith("| AutoAttack")
    ]
    hours = study.hours(CASCADES["AutoAttack"].at(0.5), (50.0, 10.0))
    assert [cell.strip() for cell in line.split("|")[3:6]] == [f"{hours * x:,.0f}" for x in (1, 1 / 4, 3)]


@pytest.mark.thorough
def test_the_network_is_a_resnet_50():
    net = resnet50()
    assert sum(p.numel() for p in net.parameters()) == 25_557_032  # as torchvision's
    first, again = next(net.parameters()), next(resnet50().parameters())
    assert torch.equal(first, again)


@pytest.mark.parametrize("words", [["--robust", "1.5"], ["--gpus", "0"], ["--forwards-per-second", "5"]])
def test_nonsense_is_refused(words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["imagenet_cost", *words])
    with pytest.raises(SystemExit) as error:
        imagenet_cost.main()
    assert error.value.code == 2
    assert "error" in capsys.readouterr().err
