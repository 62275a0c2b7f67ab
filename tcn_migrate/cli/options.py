"""Options that several commands share."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tcn_migrate.budget import DEFAULT_BYTES, parse_bytes
from tcn_migrate.errors import MigrationError, as_file, missing, quoted, shell_command

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class LocalPath(click.Path):
    """A path on this machine. `~` is the home folder also where no shell expands it, as in `--report=~/page.html`."""

    def __init__(self, *, urls: bool = False, **settings: Any) -> None:
        super().__init__(path_type=Path, readable=False, **settings)
        self._urls = urls

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, str):
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value):
                if self._urls:
                    return value
                typed = shell_command("tcn-migrate", "batch", value, "--to", "migrated")
                self.fail(f"{quoted(value, 200)} is a URL, which only batch reads and writes: {typed}")
            if value.startswith("~") and not os.path.lexists(value):
                value = os.path.expanduser(value)
        return super().convert(value, parameter, context)


def _set_color(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.color = {"always": True, "never": False}.get(value)
    elif os.environ.get("NO_COLOR"):  # https://no-color.org
        context.color = False


def _log(context: click.Context, parameter: click.Parameter, value: int) -> None:
    if not value or context.resilient_parsing:
        return
    logger, handler = logging.getLogger("tcn_migrate"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if value == 1 else logging.DEBUG)

    def close() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before)

    context.call_on_close(close)


def everywhere() -> list[click.Option]:
    """Options that every command has."""
    return [
        click.Option(
            ["--color"],
            type=click.Choice(["auto", "always", "never"]),
            expose_value=False,
            is_eager=True,
            callback=_set_color,
            help="Colour the output. auto: only in a terminal, and not where NO_COLOR is set. [default: auto]",
        ),
        click.Option(
            ["--verbose", "-v"],
            count=True,
            expose_value=False,
            callback=_log,
            help="Print each step to standard error; -vv also prints how long it took.",
        ),
    ]


architecture: Decorator = click.option(
    "--architecture",
    type=LocalPath(),
    metavar="FILE",
    help="For weights alone: the model's JSON (what model.to_json() wrote), a model's file of which only the config is "
    "read, or MODULE:FUNCTION of yours that builds it, which is run.",
)
architecture_or_url: Decorator = click.option(
    "--architecture",
    type=LocalPath(urls=True),
    metavar="FILE",
    help="The model's JSON, also at a URL, for files that hold weights alone.",
)
target: Decorator = click.option(
    "--target",
    type=click.Choice(["layer", "plain"]),
    default="layer",
    show_default=True,
    help="layer: with tcn_migrate.TCN, or keras-tcn's. plain: Keras's own layers only.",
)
last_step: Decorator = click.option(
    "--last-step",
    is_flag=True,
    help="The model is of keras-tcn 2.9.1 where nothing in the file tells it from 2.9.2 to 3.0.2.",
)
drop_optimizer: Decorator = click.option(
    "--drop-optimizer",
    is_flag=True,
    help="Leave out the optimizer, its state, the loss and the metrics: a small file to serve.",
)
custom_objects: Decorator = click.option(
    "--custom-objects",
    metavar="MODULE",
    help="A Python module of yours (package.module) whose classes are your own layers. It is imported.",
)


def _bytes(context: click.Context, parameter: click.Parameter, value: str | None) -> int:
    if value is None:
        return DEFAULT_BYTES
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


max_bytes: Decorator = click.option(
    "--max-bytes",
    metavar="SIZE",
    callback=_bytes,
    help="Refuse a source larger than this, or with more than this in its arrays: 500MB, 16GiB. [default: 8GiB]",
)
machine: Decorator = click.option("--json", "machine", is_flag=True, help="Print JSON for machines.")


def given() -> dict[str, list[str]]:
    """What was typed behind the name of the running command, by the names of its parameters: its words."""
    context = click.get_current_context()
    typed: dict[str, list[str]] = {}
    for parameter in context.command.get_params(context):
        name = str(parameter.name)
        if name not in context.params or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(parameter, click.Argument):
            typed[name] = [as_file(one) for one in values]
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            typed[name] = [(parameter.opts if value else parameter.secondary_opts)[0]]
        else:
            typed[name] = [word for one in values for word in (parameter.opts[0], str(one))]
    return typed


def load_custom_objects(module: str | None) -> Mapping[str, Any]:
    """The classes and functions of a module that the user named.

    Raises:
        MigrationError: it cannot be imported.
    """
    if module is None:
        return {}
    from tcn_migrate.verify import quiet

    try:
        with quiet():  # a backend greets
            importlib.import_module("keras")  # and with it all libraries, before the folder can offer others

            if str(Path.cwd()) not in sys.path:
                sys.path.append(str(Path.cwd()))
            loaded = importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ImportError) and (lacking := missing(error)) is not None:
            raise lacking from None
        raise MigrationError(
            f"--custom-objects {quoted(module)} cannot be imported ({type(error).__name__}: {quoted(error, 200)})",
            hint="Name it as Python would import it, such as my_package.my_layers",
        ) from None
    own = {
        name: thing
        for name, thing in vars(loaded).items()
        if callable(thing) and getattr(thing, "__module__", None) == loaded.__name__
    }
    keras: Any = sys.modules.get("keras")
    for thing in [thing for thing in own.values() if hasattr(thing, "__name__")] if keras is not None else []:
        registered = keras.saving.get_registered_name(thing)  # it may be registered under another name
        own |= {registered: thing, registered.rpartition(">")[2]: thing}
    return own
