"""Options that several commands share."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tcn_migrate.budget import DEFAULT_BYTES, parse_bytes
from tcn_migrate.errors import MigrationError, as_file, quoted

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

architecture: Decorator = click.option(
    "--architecture",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="For weights alone: the model's JSON (what model.to_json() wrote), a model's file of which only the config is "
    "read, or MODULE:FUNCTION of yours that builds it, which is run.",
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
    for thing in [thing for thing in own.values() if isinstance(thing, type)] if keras is not None else []:
        registered = keras.saving.get_registered_name(thing)  # a class may be registered under another name
        own |= {registered: thing, registered.rpartition(">")[2]: thing}
    return own
