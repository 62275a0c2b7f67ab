"""The architecture of a model that the user's own code builds, in today's Keras.

The code is run only because the user names it, as `module:function`.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.containers.bounds import parse_model
from tcn_migrate.errors import ContainerError, quoted, reason


def names_code(text: str) -> bool:
    """Whether a text is `module:function`, and no file that is there."""
    return re.fullmatch(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*", text) is not None and not Path(text).exists()


def config_of(text: str) -> Json:
    """The config of the model that a function without arguments returns.

    The module is imported after Keras and all that is installed, from the end of `sys.path`, so that no file in the
    current folder takes the place of a library.

    Args:
        text: `module:function`.

    Raises:
        ContainerError: it cannot be imported or called, or returns no model with a config.
    """
    from tcn_migrate.verify import quiet

    module, _, function = text.partition(":")
    name = f"architecture {quoted(text)}"
    try:
        with quiet():  # a backend greets
            importlib.import_module("keras")
            if str(Path.cwd()) not in sys.path:
                sys.path.append(str(Path.cwd()))
            loaded = importlib.import_module(module)
    except Exception as error:
        raise ContainerError(
            f"the module cannot be imported ({type(error).__name__}: {reason(error)})",
            address=name,
            hint="Name it as Python would import it here, such as my_package.models:build_model",
        ) from None
    build: Any = getattr(loaded, function, None)
    if not callable(build):
        raise ContainerError(f"the module has no function {quoted(function)}", address=name)
    try:
        with quiet():
            text = build().to_json()
    except Exception as error:
        raise ContainerError(
            f"the function returns no model of today's Keras ({type(error).__name__}: {reason(error)})",
            address=name,
            hint="It is called without arguments, and returns a functional or sequential keras.Model",
        ) from None
    return parse_model(json.dumps(json.loads(text)), name)
