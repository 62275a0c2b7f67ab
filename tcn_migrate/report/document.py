"""What every page has in common: one document of its own, in which text stays text.

Strings out of files pass `safe` before they come here and are escaped by the template. A page may run its own script
and no other: its content security policy names that script's hash, and forbids every connection.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import unicodedata
from collections.abc import Iterator
from importlib import resources

from tcn_migrate.errors import quoted, shell_command
from tcn_migrate.report.picture import PLOT_BOTTOM, PLOT_LEFT, PLOT_RIGHT, PLOT_TOP, PLOT_WIDTH

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

_WAYS = (
    ("With recorded predictions of the old model", ("--reference", "recorded.npz")),
    ("With inputs like the training data", ("--calibrate", "inputs.npz")),
    (
        "With inputs like the training data, gamma and beta afresh, and train again",
        ("--calibrate", "inputs.npz", "--reinitialize"),
    ),
    ("Start afresh with what is lost, and train again", ("--reinitialize",)),
    ("Take what is suspect as it is", ("--keep-suspect",)),
    ("Give the model's JSON", ("--architecture", "model.json")),
    ("Give a whole model with the same layers", ("--architecture", "sibling.h5")),
    ("Give code that builds the model", ("--architecture", "module:function")),
    ("Give your own classes", ("--custom-objects", "package.module")),
    ("It was written by keras-tcn 2.9.1", ("--last-step",)),
    ("Replace the file that is there", ("--overwrite",)),
    ("With tcn_migrate's own layers", ("--target", "layer")),
    ("Without the optimizer", ("--drop-optimizer",)),
)
"""What a hint may name, as commands to copy."""

_RECOVERING = ("--reference", "--calibrate", "--reinitialize")


def rendered(template: str, page: object) -> Document:
    """One HTML document, with nothing in it from elsewhere.

    Args:
        template: its name in this folder.
        page: what the template prints.
    """
    return Document("".join(streamed(template, page)))


def streamed(template: str, page: object) -> Iterator[str]:
    """The document in pieces; what `page` iterates over is taken as it is printed."""
    import jinja2

    files = resources.files("tcn_migrate.report")
    script = files.joinpath("page.js").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: files.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    printed = environment.get_template(template).generate(
        page=page,
        style=files.joinpath("page.css").read_text("utf-8"),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        plot_width=PLOT_WIDTH,
        plot_left=PLOT_LEFT,
        plot_right=PLOT_RIGHT,
        plot_top=PLOT_TOP,
        plot_bottom=PLOT_BOTTOM,
    )
    return map(str, printed)  # markup would escape what it is put together with


class Document(str):
    """An HTML document, which a notebook shows in a frame: neither's style or script reaches the other."""

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self)}" sandbox="allow-scripts" title="tcn-migrate report" '
            'style="width:100%;height:40rem;border:1px solid #8888"></iframe>'
        )


def ways(hint: str) -> list[tuple[str, tuple[str, ...]]]:
    """What a hint names. What recovers norms is taken with the options that stand behind it in the hint."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for what, words in _WAYS:
        if words[0] not in _RECOVERING:
            found += [(what, words)] if words[0] in hint else []
            continue
        pattern = rf"(?<!npz ){re.escape(' '.join(words))}(?! --reinitialize)(?: (--remeasure) (\w+))?"
        if named := re.search(pattern, hint):
            found.append((what, (*words, *filter(None, named.groups()))))
    return found


def command(*words: object) -> str:
    """A command to copy."""
    return shell_command("tcn-migrate", *words)


def safe(text: object, limit: int = 300) -> str:
    """A string out of a file or a path, harmless and of a length that fits."""
    return quoted(text, limit)[1:-1]


def _visible(value: object) -> object:
    """Text with nothing in it that hides or turns other text; markup of the template's own is left as it is."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(c if unicodedata.category(c) not in _INVISIBLE else ascii(c)[1:-1] for c in value)
