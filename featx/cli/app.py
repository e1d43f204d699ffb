"""The `featx` program: its commands, and the only place that exits.

Exit status: 0 for success, 1 for an error, 2 for wrong usage, 3 if some images failed, 130 if
interrupted (also by SIGTERM and SIGHUP).
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import featx
from featx.cli.commands import COMMANDS, describe_command, make_command
from featx.cli.registry_choice import is_choice
from featx.errors import FeatxError, InvalidValue, closest_names, join_names
from featx.host import own_process
from featx.report.encoding import allow_any_text

_PYDANTIC_PREFIX = "Value error, "
"""What a Typer that uses pydantic puts in front of "'x' is not one of 'a', 'b'"."""


_ENDING = ("SIGTERM", "SIGHUP")
"""Signals that ask a program to end; Windows does not have the second."""

_UsageError: Any = typer.BadParameter.__bases__[0]
"""Of the Click that Typer uses: some versions bring their own."""


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands; looks for those of other packages."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None if there is none; imports no other."""
        return make_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments begin with; suggest names like a mistyped one."""
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS:
            close = closest_names(name, COMMANDS)
            hint = f" Did you mean {join_names(close)}?" if close else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, without reading the parameters of each."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))  # Six columns are spacing.
        with formatter.section("Commands"):
            formatter.write_dl([(name, describe_command(name, limit)) for name in names])

    def invoke(self, ctx: Any) -> Any:
        """Run a command. A reader that has closed the pipe ends it quietly."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # The reader (`head`, a pager) is done: leave nothing to be flushed at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix(_PYDANTIC_PREFIX) + _hint(error)
            raise
        except _UsageError as error:
            if hasattr(error, "possibilities"):  # There is no such option.
                close = closest_names(error.option_name, _options_of(error.ctx))
                error.possibilities = None
                error.message += f". Did you mean {join_names(close)}?" if close else "."
            raise
        except KeyboardInterrupt:
            _fail("interrupted", 130)


def _options_of(context: Any) -> list[str]:
    """Return the names of all options of the command that a context is of."""
    parameters = () if context is None else context.command.params
    return [name for one in parameters for name in one.opts if name.startswith("--")]


def _hint(error: typer.BadParameter) -> str:
    """Say where a name that is not among the choices may come from."""
    if error.ctx is None or error.param is None or " is not one of " not in error.message:
        return ""
    command = error.ctx.command.name
    if command is None or not is_choice(COMMANDS[command], error.param.name):
        return ""
    return " Add-ons may bring others: the package of one must be installed in this Python."


app = typer.Typer(
    name="featx",
    cls=_Commands,
    help="Turn images into reusable features: run a model once, then classify and search.",
    epilog="Each command explains itself: featx extract --help",
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"featx {featx.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-v", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may be given anywhere.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the program with the arguments of the process."""
    for stream in (sys.stdout, sys.stderr):
        allow_any_text(stream)
    arguments = sys.argv[1:]
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in own
    if debug:
        arguments.remove("--debug")
    if not sys.warnoptions and not debug:
        warnings.simplefilter("ignore")
    # Batch systems and containers end programs by SIGTERM, terminals that are closed by SIGHUP
    # (nohup ignores it): as with Ctrl-C, computed work is kept.
    for name in _ENDING:
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:
            signal.signal(getattr(signal, name), _interrupt)
    try:
        with own_process():
            app(args=arguments, prog_name="featx")
    except FeatxError as error:
        if debug:
            raise
        _fail(str(error), _status_of(error))
    except (OSError, MemoryError) as error:
        if debug:
            raise
        _fail(f"{type(error).__name__}: {error}", 1)


def _interrupt(number: int, frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # A second one ends the process at once.
    raise KeyboardInterrupt


def _status_of(error: FeatxError) -> int:
    """Return the exit status: whoever finds a value wrong, Typer or the library, it is usage."""
    return 2 if isinstance(error, InvalidValue) else 1


def _fail(message: str, status: int) -> None:
    from featx.report.console import ConsoleListener

    ConsoleListener().note(f"featx: {message}")
    sys.exit(status)
