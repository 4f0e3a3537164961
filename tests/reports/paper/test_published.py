"""The data file against numbers read off the paper by hand, and against what is installed."""

import json
import math
from importlib.resources import files

import pytest

from reports.paper import published
from reports.paper.published import data_sets, reference, tables
from robench import plugins
from robench.record.strict_json import FieldError

# table, row, column, value: typed from the paper's pages, corners and one in the middle of each table.
PRINTED = [
    ("1", "ResNet20", "50K", 9.06), ("1", "ResNet44", "10K", 10.66), ("1", "ResNet110", "1K", 42.94),
    ("2", "softmax", "CIFAR10", 39.91), ("2", "softmax", "MNIST", 92.65), ("2", "WNLL", "MNIST", 97.74),
    ("2", "WNLL", "SVHN", 56.17),
    ("3", "VGG11", "whole, vanilla", 9.23), ("3", "ResNet20", "whole, SVM", 9.60),
    ("3", "ResNet110", "1000, vanilla", 42.94), ("3", "ResNet50", "10000, WNLL", 6.49),
    ("3", "PreActResNet50", "1000, WNLL", 18.61), ("3", "PreActResNet50", "whole, WNLL", 4.27),
    ("4", "VGG11", "vanilla", 32.68), ("4", "ResNet44", "WNLL", 26.32),
    ("4", "PreActResNet50", "WNLL", 21.51),
    ("5", "ResNet20", "vanilla", 3.76), ("5", "ResNet110", "WNLL", 2.26),
    ("5", "PreActResNet34", "WNLL", 3.32),
    ("6", "Small-CNN", "natural", 99.33), ("6", "Small-CNN", "C&W", 95.31),
    ("6", "Small-CNN-WNLL", "IFGSM40", 97.36), ("6", "Small-CNN-WNLL", "C&W", 97.55),
    ("7", "Small-CNN-WNLL, crafted on Small-CNN", "FGSM", 98.40),
    ("7", "Small-CNN-WNLL, crafted on Small-CNN", "C&W", 98.14),
    ("8", "ResNet20", "natural", 75.11), ("8", "ResNet56-WNLL", "IFGSM20", 58.19),
    ("8", "WideResNet34-10-WNLL", "C&W", 72.37),
    ("9", "ResNet20-WNLL, crafted on ResNet20", "FGSM", 55.91),
    ("9", "WideResNet34-10-WNLL, crafted on WideResNet34-10", "C&W", 81.17),
    ("10", "ResNet56-WNLL (15, 8)", "natural", 79.89), ("10", "ResNet56-WNLL (60, 30)", "C&W", 67.74),
    ("11", "ResNet20-WNLL", "1K labelled / 49K unlabelled", 27.02),
    ("11", "ResNet110-WNLL", "10K labelled / 40K unlabelled", 6.50),
]  # fmt: skip


def slots():
    return [slot for table in tables().values() for row in table.slots for slot in row]


@pytest.mark.parametrize(("table", "row", "column", "value"), PRINTED)
def test_numbers_as_printed(table, row, column, value):
    (slot,) = [s for s in slots() if (s.table, s.row, s.column) == (table, row, column)]
    assert slot.published == value


def test_every_table_is_whole():
    assert list(tables()) == [str(n) for n in range(1, 12)]
    shapes = {n: (len(t.rows), len(t.columns)) for n, t in tables().items()}
    assert shapes == {"1": (5, 3), "2": (2, 3), "3": (15, 7),
                      "4": (15, 2), "5": (9, 2), "6": (2, 5), "7": (1, 4),
                      "8": (6, 5), "9": (3, 4), "10": (4, 5), "11": (5, 2)}  # fmt: skip
    assert all(0 < slot.published < 100 for slot in slots())


def test_what_cells_name_is_installed():
    for slot in slots():
        assert slot.architecture in plugins.names("models")
        assert slot.attack == "clean" or slot.attack in plugins.names("attacks")
        assert slot.dataset in data_sets()
        assert {*slot.training.values()} - {"none"} <= {*plugins.names("defenses")}


def test_settings_are_options_of_the_plugins():
    """A setting under a name that no plugin has would always be stated as a deviation."""
    from robench.recipe import describe

    for slot in slots():
        if slot.attack != "clean":
            assert {*slot.options, *slot.settings} <= {*describe(plugins.find("attacks", slot.attack))}
        defense = slot.training.get(slot.head)
        if defense not in {None, "none"}:
            assert {*slot.training_settings} <= {*describe(plugins.find("defenses", defense))}
        assert {*slot.graph} <= {*describe(plugins.find("heads", "wnll"))}


def test_the_paper_s_own_settings():
    by_place = {(s.table, s.row, s.column): s for s in slots()}
    mnist = by_place["6", "Small-CNN-WNLL", "IFGSM40"]
    assert (mnist.eps, mnist.options, mnist.settings) == (0.3, {"steps": 40}, {"step_size": 0.01})
    cifar = by_place["8", "ResNet20", "C&W"]
    assert math.isinf(cifar.eps)
    assert (cifar.settings["steps"], cifar.settings["learning_rate"], cifar.settings["c"]) == (50, 0.006, 10)
    assert by_place["10", "ResNet56-WNLL (45, 23)", "FGSM"].graph_exact == {"m": 45, "n": 23}
    assert by_place["8", "ResNet20", "FGSM"].eps == 8 / 255
    assert "1907.06800" in reference()


@pytest.mark.parametrize(
    ("place", "name", "value", "words"),
    [
        ("table", "unlabeled", 3, "known fields in `11`, got 'unlabeled'"),
        ("columns", "unlabelled", "3", "a whole number of 64 bits in the field `11.unlabelled`"),
        ("rows", "label", 20, "text in the field `11.rows[0].label`"),
    ],
)
def test_a_slip_in_the_data_file_is_named(place, name, value, words, monkeypatch):
    content = json.loads((files("reports.paper") / published.FILE).read_text("utf-8"))
    table = content["tables"]["11"]
    (table if place == "table" else table[place][0])[name] = value
    monkeypatch.setattr(published, "_file", lambda: published._File.read(content))
    with pytest.raises(FieldError) as refusal:
        tables.__wrapped__()
    assert words in str(refusal.value)
