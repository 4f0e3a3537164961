"""Options that commands share: each command takes the named ones, in its own order, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from robench.cli.options import Options, taking
from robench.errors import ConfigError
from robench.plan import config


@pytest.fixture
def heard():
    return []


@pytest.fixture
def app(heard):
    app = typer.Typer()

    @app.command()
    @taking("seed", "trust_code")
    def one(
        name: str,
        *,
        options: Options,
        last: Annotated[int, typer.Option("--last")] = 1,
    ) -> None:
        """Do one thing."""
        heard.append((name, options, last))

    return app


def test_named_options_come_as_one_value_and_the_rest_is_the_default(app, heard):
    outcome = CliRunner().invoke(app, ["x", "--seed", "7", "--trust-code", "--last", "2"])
    assert outcome.exit_code == 0, outcome.output
    assert heard == [("x", Options(seed=7, trust_code=True), 2)]
    assert heard[0][1].environment.trust_code
    assert heard[0][1].environment.device == "auto"


def test_what_is_not_named_is_refused(app, heard):
    assert CliRunner().invoke(app, ["x", "--limit", "3"]).exit_code == 2
    assert CliRunner().invoke(app, ["x", "--seed", "-1"]).exit_code == 2
    assert not heard


def test_a_commands_own_options_come_before_the_groups_of_shared_ones(app):
    screen = CliRunner().invoke(app, ["--help"]).output
    assert screen.index("--last") < screen.index("--seed")
    assert screen.index("--last") < screen.index("--trust-code")
    assert "Do one thing." in screen


def test_overrides_of_the_command_line_win():
    plain, text = Options().plan("digits")
    plan, same = Options(limit=5, seed=3, batch_size=7, overrides=["shard=11"]).plan("digits")
    assert same == text == config.locate("digits").read_text("utf-8")
    assert (plan.data.limit, plan.seed, plan.batch_size, plan.shard) == (5, 3, 7, 11)
    assert (plain.seed, plain.data.limit) != (plan.seed, plan.data.limit)
    assert Options().folder(plan) == Path("runs") / "digits"
    assert Options(out=Path("here")).folder(plan) == Path("here")


def test_a_word_that_names_no_device_is_refused():
    with pytest.raises(ConfigError, match="--device"):
        Options(device="gpu").plan("digits")
