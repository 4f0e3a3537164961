"""A command that is known by its name and one sentence; its module is imported when it is called."""

from __future__ import annotations

import inspect
from functools import cached_property
from importlib import import_module
from typing import Any

from typer.core import TyperCommand
from typer.main import get_command_from_info
from typer.models import CommandInfo


class LazyCommand(TyperCommand):
    """A command in the list of all commands.

    `robench --help` shows the sentences of all commands, and no command needs the options of another.

    Args:
        name: what the user types.
        module: where the function is.
        function: what carries the command out.
        panel: title of its group in `robench --help`.
        sentence: the first of the function's docstring.
    """

    def __init__(self, name: str, module: str, function: str, *, panel: str, sentence: str) -> None:
        super().__init__(name, help=sentence, rich_help_panel=panel)
        self._place = module, function

    @cached_property
    def whole(self) -> TyperCommand:
        """The command with its options; this imports its module."""
        module, name = self._place
        function = getattr(import_module(module), name)
        text = paragraphs(function.__doc__ or "")
        info = CommandInfo(self.name, callback=function, help=text, rich_help_panel=self.rich_help_panel)
        command = get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode="rich")
        assert isinstance(command, TyperCommand)
        return command

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Return a context of the whole command, in which it is carried out."""
        return self.whole.make_context(*args, **options)


def paragraphs(docstring: str) -> str:
    r"""Return a docstring with each paragraph in one line.

    Example:
        >>> paragraphs("One sentence.\n\nTwo\nlines.")
        'One sentence.\n\nTwo lines.'
    """
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(docstring).split("\n\n"))
