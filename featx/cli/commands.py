"""The commands of `featx`: its own, and those that other packages add."""

from __future__ import annotations

from typing import Any, Protocol

import typer
from typer.core import TyperCommand

from featx.cli.options import BARE_TRUST
from featx.cli.registry_choice import resolve_choices
from featx.errors import AddOnError
from featx.registry import Registry


class Command(Protocol):
    """A function that Typer can read.

    Its parameters, annotated with `typer.Option` and `typer.Argument`, are the command's; its
    docstring is the help text, whose first sentence is shown in the list of commands.
    A `featx.errors.FeatxError` that it raises becomes one line on the standard error and exit
    status 1. Import slow modules inside the function: ``featx --help`` imports the modules
    of all commands.
    """

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the command."""
        ...


COMMANDS: Registry[Command] = Registry(
    "command",
    "featx.commands",
    {
        "demo": "featx.cli.demo:demo",
        "models": "featx.cli.models:models",
        "layers": "featx.cli.layers:layers",
        "extract": "featx.cli.extract:extract",
        "info": "featx.cli.info:info",
        "export": "featx.cli.export:export",
        "verify": "featx.cli.verify:verify",
        "pack": "featx.cli.pack:pack",
        "merge": "featx.cli.merge:merge",
        "fit-head": "featx.cli.fit_head:fit_head",
        "fine-tune": "featx.cli.fine_tune:fine_tune",
        "export-head": "featx.cli.export_head:export_head",
        "evaluate": "featx.cli.evaluate:evaluate",
        "predict": "featx.cli.predict:predict",
        "index": "featx.cli.index:index",
        "search": "featx.cli.search:search",
        "duplicates": "featx.cli.duplicates:duplicates",
        "audit": "featx.cli.audit:audit",
        "map": "featx.cli.map_features:map_features",
        "select": "featx.cli.select:select",
        "serve": "featx.cli.serve:serve",
    },
    Command,
)

_SETTINGS: dict[str, dict[str, Any]] = {
    "layers": {"ignore_unknown_options": True},  # A pattern may be a negative index.
}
"""Name of a command → settings of its Click context."""


class _Command(TyperCommand):
    """A command whose option ``--trust-model-code`` may be followed by a file, or by nothing."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read arguments; see Click."""
        completed: list[str] = []
        end = args.index("--") if "--" in args else len(args)
        for position, arg in enumerate(args[:end], 1):
            completed.append(arg)
            is_bare = position == end or not args[position].endswith(".py")
            if arg == "--trust-model-code" and is_bare:
                completed.append(BARE_TRUST)
        return super().parse_args(ctx, [*completed, *args[end:]])


def make_command(name: str) -> TyperCommand:
    """Return a command as Click runs it.

    A command of a package that cannot be imported raises that error when it is run, not before,
    so that the others can be listed and completed.
    """
    try:
        function, settings = resolve_choices(COMMANDS[name]), _SETTINGS.get(name, {})
    except AddOnError as error:
        failure = error

        def function() -> None:
            raise failure

        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    program = typer.Typer(add_completion=False, rich_markup_mode=None)
    program.command(name, cls=_Command, context_settings=settings)(function)
    command = typer.main.get_command(program)
    assert isinstance(command, TyperCommand)
    return command


def describe_command(name: str, limit: int) -> str:
    """Return the first sentence of a command's help text, at most `limit` characters of it."""
    try:
        text = COMMANDS[name].__doc__
    except AddOnError:
        text = f"(of {COMMANDS.package_of(name)}, which cannot be loaded)"
    return TyperCommand(name, help=text).get_short_help_str(limit)
