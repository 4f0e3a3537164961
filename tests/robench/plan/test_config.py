import math
import textwrap
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.errors import ConfigError, RobenchError
from robench.plan.config import from_dict, load, locate, parse, suites
from robench.plan.file_names import check_name
from robench.plan.spec import canonical

GOOD = """\
schema: 1
name: demo
dataset: {name: digits, limit: 300}
models:
  - name: natural
    architecture: digits_cnn
    buffer: 64
    normalize: {mean: [0.5], std: [0.5]}
    train: {defense: {natural: {epochs: 1}}, data: {limit: 1000}}
  - name: natural-wnll
    features_of: natural
    head: {wnll: {m: 15, n: 8}}
    sources: [linear, kernel]
threats:
  - norm: Linf
    eps: 8/255
    attacks: [fgsm, {pgd: {steps: 40}}, {pgd: {steps: 100}}, {pgd: {steps: 7}, label: short}]
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "demo.yaml"


def test_a_good_configuration_becomes_a_plan_with_defaults(file):
    plan = parse(GOOD, file=file)
    assert (plan.name, plan.seed, plan.transfer, plan.shard, plan.batch_size) == ("demo", 0, True, 500, 250)
    assert (plan.data.dataset.name, plan.data.split, plan.data.subset) == ("digits", "test", "first")
    natural, wnll = plan.models
    assert natural.train.data.split == "train"
    assert natural.train.data.dataset.name == "digits"
    assert (natural.buffer, natural.normalize, natural.head.name) == (64, ((0.5,), (0.5,)), "linear")
    assert (wnll.features_of, wnll.head.options, wnll.sources) == (
        "natural", {"m": 15, "n": 8}, ("linear", "kernel"),
    )  # fmt: skip
    threat = plan.threats[0]
    assert (threat.eps, threat.eps_text, threat.goal) == (8 / 255, "8/255", "untargeted")
    assert [a.label for a in threat.attacks] == ["fgsm", "pgd-40", "pgd-100", "short"]


def test_knowledge_and_budget_make_a_threat_of_their_own(file):
    text = (
        GOOD
        + """\
  - {norm: Linf, eps: 8/255, knowledge: [template, weights], budget: 20, attacks: [fgsm]}
  - {norm: Linf, eps: 8/255, knowledge: [], attacks: [square]}
"""
    )
    usual, narrow, asking = parse(text, file=file).threats
    assert (usual.knowledge, usual.budget) == (("weights", "template"), None)
    assert (narrow.knowledge, narrow.budget) == (("weights", "template"), 20)
    assert asking.knowledge == ()
    # What stands at its default is no part of the plan's text: plans made before stay what they were.
    assert "knowledge" not in canonical(usual)
    again = "  - {norm: Linf, eps: 8/255, knowledge: [template, weights], attacks: [fgsm]}"
    with pytest.raises(ConfigError, match="each threat once"):
        parse(GOOD + again, file=file)


def test_equal_texts_give_equal_plans_and_places_do_not_matter(file):
    assert parse(GOOD, file=file) == parse("# moved\n" + GOOD, file=file)
    assert canonical(parse(GOOD, file=file)) == canonical(parse("\n" + GOOD, file=file))


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("name: demo", "nmae: demo", 2, "'name'"),
        ("    eps: 8/255", "    eps: 8/255\n    budgte: 5", 17, "'budget'"),
        ("    eps: 8/255", "    eps: 8/255\n    budget: 0", 17, "at least 1"),
        ("    eps: 8/255", "    eps: 8/255\n    budget: many", 17, "whole number"),
        ("    eps: 8/255", "    eps: 8/255\n    knowlege: []", 17, "'knowledge'"),
        ("    eps: 8/255", "    eps: 8/255\n    knowledge: [weihgts]", 17, "'weights'"),
        ("    eps: 8/255", "    eps: 8/255\n    knowledge: [template]", 17, "Add weights"),
        ("    eps: 8/255", "    eps: 8/255\n    knowledge: weights", 17, "a list"),
        ("    eps: 8/255", "    eps: 8/255\n    knowledge: []", 18, "asks for scores or labels only"),
        ("attacks: [fgsm,", "budget: 9\n    attacks: [art/pgd,", 18, "stopped at a budget"),
        ("schema: 1", "schema: 2", 1, "schema 1"),
        ("name: demo", "name: ../x", 2, "path separator"),
        ("name: demo", "name: .x", 2, "dot"),
        ("name: demo", "name: NUL", 2, "Windows"),
        ("name: demo", "name: com1.txt", 2, "Windows"),
        ("name: demo", 'name: "a\\0"', 2, "invisible"),
        ("name: demo", "name: 3", 2, "text"),
        ("name: digits", "name: digit", 3, "'digits'"),
        ("limit: 300", "limt: 300", 3, "'limit'"),
        ("limit: 300", "limit: many", 3, "whole number"),
        ("limit: 300", "limit: 0", 3, "at least 1"),
        ("limit: 300", "limit: true", 3, "whole number"),
        ("limit: 300", "split: valid", 3, "test, train"),
        ("limit: 300", "options: {foo: 1}", 3, "'foo'"),
        ("limit: 300}", "limit: 300}\ntransfer: 1", 4, "true or false"),
        ("digits_cnn", "digit_cnn", 6, "'digits_cnn'"),
        ("digits_cnn", "{small_cnn: {drop: 0.5}}", 6, "'dropout'"),
        ("digits_cnn", "{small_cnn: {dropout: 2}}", 6, "dropout"),
        ("digits_cnn", "nets.py:make", 6, "no file"),
        ("digits_cnn", "nets.txt:make", 6, "torchvision:NAME"),
        ("buffer: 64", "buffer: 1.5", 7, "whole number"),
        ("mean: [0.5]", "mean: [0.5, 0.5]", 8, "as many"),
        ("std: [0.5]", "std: [0]", 8, "positive"),
        ("mean: [0.5]", "mean: [127.5]", 8, "255"),
        ("natural: {epochs: 1}", "naturel: {epochs: 1}", 9, "'natural'"),
        ("natural: {epochs: 1}", "natural: {epoch: 1}", 9, "'epochs'"),
        ("natural: {epochs: 1}", "pgd_training: {epochs: 1}", 9, "'eps'"),
        ("natural: {epochs: 1}", "natural: {epochs: one}", 9, "epochs"),
        ("buffer: 64", "checkpoint: no.safetensors", 7, "one of train, checkpoint"),
        ("name: natural-wnll", "name: natural", 10, "second time"),
        ("features_of: natural", "features_of: naturel", 11, "'natural'"),
        ("features_of: natural", "features_of: natural-wnll", 11, "another model"),
        ("features_of: natural", "features_of: natural\n    buffer: 3", 12, "beside features_of"),
        ("    features_of: natural\n", "", 10, "architecture"),
        ("{wnll: {m: 15, n: 8}}", "{wnl: {m: 15}}", 12, "'wnll'"),
        ("{wnll: {m: 15, n: 8}}", "{wnll: {k: 15}}", 12, "'k'"),
        ("{wnll: {m: 15, n: 8}}", "{wnll: {m: .nan}}", 12, "expected"),
        ("[linear, kernel]", "[linear, linear]", 13, "different"),
        ("norm: Linf", "norm: L3", 15, "Linf, L2"),
        ("eps: 8/255", "eps: 8", 16, "8/255"),
        ("eps: 8/255", "eps: -1", 16, "at least 0"),
        ("eps: 8/255", "eps: .nan", 16, "at least 0"),
        ("eps: 8/255", "eps: 8/0", 16, "fraction"),
        ("eps: 8/255", "eps: [x]", 16, "fraction"),
        ("eps: 8/255", "eps: []", 16, "at least one"),
        ("eps: 8/255", "eps: [0.1, 8]", 16, "8/255"),
        ("eps: 8/255", "eps: [0.1, inf]", 16, "of its own"),
        ("eps: 8/255", "eps: [0.1, 1/10]", 16, "second time"),
        ("fgsm", "fsgm", 17, "'fgsm'"),
        ("fgsm", "{pgd: {step: 3}}", 17, "'steps'"),
        ("fgsm", "{pgd: {}, cw: {}}", 17, "one name"),
        ("fgsm", "{label: x}", 17, "attack"),
        ("fgsm", "cw", 17, "L2"),
        ("fgsm", "{fgsm: null, label: short}", 17, "'short' twice"),
        ("fgsm", "{fgsm: null, label: clean}", 17, "another label"),
        ("steps: 100", "steps: 40", 17, "'pgd-40' twice"),
        ("  - norm: Linf", "  - {norm: Linf, eps: 0.1, goal: targetted, attacks: [fgsm]}\n  - norm: Linf", 15,
         "'targeted'"),
        ("  - norm: Linf", "  - {norm: Linf, eps: 8/255, attacks: [fgsm]}\n  - norm: Linf", 16, "second"),
        ("attacks: [fgsm", "attacks: []\n    x: [fgsm", 18, "'x'"),
    ],
)  # fmt: skip
def test_every_mistake_is_refused_with_its_line_and_a_hint(file, old, new, line, words):
    assert old in GOOD
    with pytest.raises(RobenchError) as error:
        parse(GOOD.replace(old, new, 1), file=file)
    assert error.value.exit_code == 2
    assert str(error.value).startswith(f"{file}:{line}: "), str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "text", ["- 1", "3", "models: []", "name: x", "dataset: digits", "dataset: digits\nmodels: {}"]
)
def test_what_is_no_configuration_is_refused(file, text):
    with pytest.raises(ConfigError):
        parse(text, file=file)


def test_features_of_must_have_features_of_their_own(file):
    text = GOOD.replace("threats:", "  - {name: third, features_of: natural-wnll}\nthreats:")
    with pytest.raises(ConfigError, match="Write natural"):
        parse(text, file=file)


def test_paths_start_at_the_configuration_file(tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    (folder / "w.safetensors").write_bytes(b"")
    (folder / "nets.py").write_text("def make(): ...")
    text = textwrap.dedent(f"""\
        dataset: digits
        models:
          - {{name: a, architecture: digits_cnn, checkpoint: w.safetensors, sha256: {"A" * 64}}}
          - {{name: b, architecture: nets.py:make, output: simplex}}
          - {{name: c, architecture: torchvision:resnet18}}
        """)
    a, b, c = parse(text, file=folder / "c.yaml").models
    assert a.checkpoint == folder / "w.safetensors"
    assert a.sha256 == "a" * 64
    assert b.architecture.name == f"{folder / 'nets.py'}:make"
    assert (b.output, c.architecture.name) == ("simplex", "torchvision:resnet18")
    with pytest.raises(ConfigError, match="64 hexadecimal"):
        parse(text.replace("A" * 64, "abc"), file=folder / "c.yaml")
    for hostile in ("/etc/x\\0y", "~nobody_here_xyz/w", "x" * 5000, "."):
        with pytest.raises(ConfigError, match=r"checkpoint: a file"):
            parse(text.replace("w.safetensors", f'"{hostile}"'), file=folder / "c.yaml")


def test_a_missing_file_of_a_copy_that_a_run_keeps_leads_to_the_original(file):
    text = GOOD.replace("digits_cnn", "nets.py:make", 1)
    with pytest.raises(ConfigError) as error:
        parse(text, file=file)
    assert "run's copy" not in str(error.value)
    (file.parent / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match="a run's copy: name the file that the run was made from"):
        parse(text, file=file)


def test_infinite_radius_keeps_its_text_and_needs_minimising_attacks(file):
    text = GOOD.replace("norm: Linf", "norm: L2").replace("8/255", "inf")
    text = text[: text.index("    attacks:")] + "    attacks: [cw]\n"
    assert parse(text, file=file).threats[0].eps == math.inf
    assert parse(text.replace("inf", ".inf"), file=file).threats[0].eps_text == "inf"
    with pytest.raises(ConfigError, match=r"demo\.yaml:17: .*such as cw"):
        parse(text.replace("[cw]", "[pgd]"), file=file)


def test_overrides_are_yaml_and_say_where_they_come_from(file):
    plan = parse(GOOD, file=file, overrides=["seed=7", "models.0.train.data.limit=5", "threats.0.eps=4/255"])
    assert (plan.seed, plan.models[0].train.data.limit, plan.threats[0].eps_text) == (7, 5, "4/255")
    assert parse(GOOD, file=file, overrides=["dataset.limit=null"]).data.limit is None
    for override, words in {
        "seed": "path.to.key=value",
        "models.9.name=x": "position from 0 to 1",
        "name.x=1": "a mapping or a list",
        "sed=3": "'seed'",
        "seed=-1": "at least 0",
        "seed=!!python/none x": "tag",
        "models.0.name=a/b": "path separator",
    }.items():
        with pytest.raises(ConfigError) as error:
            parse(GOOD, file=file, overrides=[override])
        assert str(error.value).startswith(f"--set {override}"), str(error.value)
        assert words in str(error.value)


def test_every_suite_is_valid():
    assert {"digits", "mnist-small", "mnist-raw-pixels"} <= set(suites())
    for name in suites():
        assert load(name).name == name


def test_an_unknown_suite_gives_the_nearest():
    with pytest.raises(ConfigError, match="'digits'"):
        locate("digit")
    with pytest.raises(ConfigError, match="No such file"):
        load("absent.yaml")


def test_a_run_folder_is_no_configuration_but_does_not_hide_a_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/mine", "digits"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.yaml").write_text("name: x")
    with pytest.raises(ConfigError, match=r"got a run folder\. Name the configuration that it was made from"):
        locate("runs/mine")
    assert locate("digits").name == "digits.yaml"


def test_plain_data_is_checked_like_a_file():
    data = {"name": "x", "dataset": "digits", "models": [{"name": "a", "architecture": "digits_cnn"}]}
    assert from_dict(data).models[0].name == "a"
    with pytest.raises(ConfigError, match="'models'"):
        from_dict({**data, "modles": []})
    with pytest.raises(ConfigError):
        from_dict({**data, 3: 4})


@settings(deadline=None)
@given(st.text(max_size=30) | st.text(st.sampled_from(" .-aA\u202e\n/:"), max_size=5))
def test_any_name_is_a_safe_file_name_or_refused(name):
    try:
        check_name(name, what="name")
    except ConfigError:
        return
    assert not set(name) & set('/\\\0\n<>:"|?*')
    assert name not in {".", ".."}
    assert name
    assert not {name[0], name[-1]} & {".", " "}
    assert not {unicodedata.category(sign) for sign in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@settings(deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ["name", "dataset", "models", "threats", "eps", "attacks", "norm", "head", "x"]
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=12,
    )
)
def test_any_data_gives_a_plan_or_a_robench_error(data):
    try:
        from_dict({"dataset": "digits", "models": [data], "threats": [data]})
    except RobenchError as refusal:
        error = refusal
    else:
        return
    assert error.exit_code == 2


def test_the_documentation_knows_every_key_and_its_example_is_valid(file):
    from pathlib import Path

    from robench.plan import grammar

    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
    entries = (
        grammar.Configuration, grammar.DataEntry, grammar.ModelEntry, grammar.TrainEntry, grammar.ThreatEntry,
    )  # fmt: skip
    keys = {key for entry in entries for key in entry.keys()}  # noqa: SIM118 - not a dict's
    assert {"schema", "limit", "class_map", "defense", "eps"} <= keys
    assert [key for key in keys if f"| `{key}` |" not in text] == []
    example = text.split("```yaml\n")[1].split("```")[0]
    assert parse(example, file=file).name == "demo"


def test_a_list_of_radii_is_a_board_of_each_in_rising_order(file):
    plan = parse(GOOD.replace("eps: 8/255", "eps: [8/255, 0.01, 4/255]"), file=file)
    assert [t.eps_text for t in plan.threats] == ["0.01", "4/255", "8/255"]
    assert [t.eps for t in plan.threats] == [0.01, 4 / 255, 8 / 255]
    one_by_one = [
        parse(GOOD.replace("8/255", text), file=file).threats[0] for text in ("0.01", "4/255", "8/255")
    ]
    assert list(plan.threats) == one_by_one


def test_a_radius_in_a_list_and_on_its_own_is_there_twice(file):
    again = "  - {norm: Linf, eps: [0.1, 8/255], attacks: [fgsm]}\n  - norm: Linf"
    with pytest.raises(ConfigError, match="each threat once"):
        parse(GOOD.replace("  - norm: Linf", again, 1), file=file)


KEYED = """
dataset: digits
models:
  - name: a
    architecture: digits_cnn
    checkpoint: {file}
    key: {key}
"""


@pytest.mark.parametrize(
    ("key", "means"),
    [
        ("state_dict[0]", "state_dict[0]"),
        ("[2]", "[2]"),
        ("ema.module", "ema.module"),
        ('checkpoint["net"]', "checkpoint.net"),
        ("'[\"a.b\"]'", '["a.b"]'),
    ],
)
def test_a_key_chooses_a_part_of_a_checkpoint(tmp_path, key, means):
    (tmp_path / "m.pt").write_bytes(b"")
    text = KEYED.format(file="m.pt", key=key)
    (model,) = parse(text, file=tmp_path / "c.yaml").models
    assert model.key == means


@pytest.mark.parametrize("key", ["net..a", "7", "'[-1]'", "{a: 1}", "[1, 2]", "''", "state_dict[0"])
def test_a_key_of_no_form_is_refused_with_its_line(tmp_path, key):
    (tmp_path / "m.pt").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"c\.yaml:7: expected"):
        parse(KEYED.format(file="m.pt", key=key), file=tmp_path / "c.yaml")


def test_a_key_without_a_checkpoint_is_refused(tmp_path):
    text = KEYED.format(file="null", key="net")
    with pytest.raises(ConfigError, match="a checkpoint beside key"):
        parse(text, file=tmp_path / "c.yaml")
