"""What can go wrong, in words that a user can act on.

Every failure that a user can meet is a :class:`MigrationError`: where it happened, what was expected, what was found,
and what to do next. The command line turns its kind into an exit code; the library raises it and never prints.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import unicodedata
from collections.abc import Iterator
from pathlib import Path


def quoted(text: object, limit: int = 80) -> str:
    """A string that came out of a file, made harmless for a terminal, a report or an archive.

    Control characters, bidirectional overrides, lone surrogates and line breaks are escaped as Python would write
    them, and what is longer than `limit` characters is shortened in the middle.
    """
    raw = str(text)
    safe = raw[: 4 * limit]
    if not (safe.isascii() and safe.isprintable() and "\\" not in safe):
        safe = "".join(map(_harmless, safe))
    if len(safe) > limit or len(raw) > 4 * limit:
        half = limit // 2 - 1
        safe = f"{safe[:half]}…{safe[-half:]}"
    return f"'{safe}'"


def _harmless(character: str) -> str:
    if character == "\\" or unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return character.encode("unicode_escape").decode("ascii")
    return character


def shell_command(*words: object) -> str:
    """A command to type: each word quoted for a POSIX shell, and harmless for a terminal or a page.

    Nothing is cut out of it. A word with characters that cannot be printed is written in ANSI-C quotes (`$'...'`),
    which bash, zsh and ksh read as the same bytes.
    """
    return " ".join(map(_shell_word, map(str, words)))


def as_file(path: object) -> str:
    """A path as a word of a command, which is never taken for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _shell_word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    try:
        raw = word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no name of a file, but text from elsewhere
        raw = word.encode("utf-8", "surrogatepass")
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\{b:03o}" for b in raw) + "'"


def reason(error: BaseException, limit: int = 300) -> str:
    """The most specific sentence of an error that Keras raised, made harmless.

    Keras puts its own sentences and a layer's whole config before the reason, once for each model that the layer is in
    (keras/src/saving/serialization_lib.py, "Exception encountered: "), and the arguments of the call behind it.
    """
    text = str(error).partition("\n\nArguments received by")[0]
    before, _, last = text.rpartition("Exception encountered: ")
    named = re.findall(r"deserializing class '(\w+)'", before)
    words = " ".join(f"{named[-1]}: {last}".split() if named else last.split())
    return quoted(words if len(words) <= limit else words[:limit] + words[-limit:], limit)


class MigrationError(Exception):
    """The migration stops here.

    Args:
        problem: what stopped, in one sentence without a final full stop.
        address: where: a layer, block, slot and variable, or a member of a container. Already safe to print.
        expected: what should have been there.
        found: what is there.
        hint: what to do next, best with the command to type.

    Attributes:
        exit_code: what the command line ends with (1 refused or failed, 3 a decision is needed, 4 not verified).
    """

    exit_code = 1
    kind = "refused"

    def __init__(
        self,
        problem: str,
        *,
        address: str | None = None,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
    ) -> None:
        self.problem, self.address, self.expected, self.found, self.hint = problem, address, expected, found, hint
        sentence = f"{address}: {problem}" if address else problem
        if expected is not None:
            sentence += f"; expected {expected}"
        if found is not None:
            sentence += f"{',' if expected is not None else ';'} found {found}"
        if hint:
            sentence += f". {hint}"
        super().__init__(sentence if sentence.endswith((".", "?", "!")) else sentence + ".")


class ContainerError(MigrationError):
    """The file is not what it claims to be: cut off, another format, members missing or lying."""

    kind = "container"


class UnsafeError(MigrationError):
    """The file holds code, or points out of itself, or would exhaust the machine. Nothing of it was run or read."""

    kind = "unsafe"


class ArchitectureNeeded(MigrationError):
    """The file holds weights alone; the model's architecture has to be given.

    Args:
        problem, address: as for `MigrationError`.
        source: the file, for the lines to type.
    """

    kind = "architecture"

    def __init__(self, problem: str, *, source: Path, address: str | None = None) -> None:
        def line(architecture: str) -> str:
            return shell_command("tcn-migrate", as_file(source), "--architecture", architecture)

        super().__init__(
            problem,
            address=address,
            hint="Give the architecture from one of three places. "
            f"A JSON that model.to_json() wrote, in the old environment or in today's Keras: {line('model.json')}. "
            f"A whole model with the same layers, of which only the config is read: {line('sibling.h5')}. "
            f"Code of yours that builds it in today's Keras, which is run: {line('module:function')}",
        )


class UnknownLayerError(MigrationError):
    """A class that is neither built into Keras nor given by the user."""

    kind = "class"


class SettingError(MigrationError):
    """A setting in the config that no release could have written."""

    kind = "setting"


class NamingError(MigrationError):
    """The arrays and the config do not fit together."""

    kind = "array"


class UnexpectedError(MigrationError):
    """Something that no check foresaw; a fault of this package, on a file that it should have refused by name."""

    kind = "unexpected"


@contextlib.contextmanager
def foreseen() -> Iterator[None]:
    """Turns whatever is no MigrationError into one that says where it happened.

    A file from a stranger must never end in a traceback, and whoever meets this should report it.
    """
    try:
        yield
    except (MigrationError, OSError):
        raise
    except Exception as error:
        if isinstance(error, ImportError) and (lacking := missing(error)) is not None:
            raise lacking from None
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        place = "" if last is None else f" in {Path(last.tb_frame.f_code.co_filename).name}, line {last.tb_lineno}"
        raise UnexpectedError(
            f"the file is of a form that was not foreseen ({type(error).__name__}{place})",
            hint="Nothing was written. Please report it, with the file if you may",
        ) from error


class NoRoomError(MigrationError):
    """The disk is full, or the quota used up: no fault of the file, and the next one meets it, too."""

    kind = "disk"


class LibraryMissing(MigrationError):
    """Keras or its backend is not installed: no fault of the file, and the next one meets it, too."""

    kind = "environment"


BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "jaxlib": "jax", "torch": "torch", "openvino": "openvino"}
"""Modules that Keras imports for a backend, and what `pip install` calls the distribution."""


def missing(error: ImportError) -> LibraryMissing | None:
    """What to install, if Keras or its backend could not be imported; None for any other module."""
    name = (error.name or "").partition(".")[0]
    if name == "keras":
        return LibraryMissing(
            "Keras is not installed, which recovers lost norms and verifies a new file",
            hint="Type: pip install keras tensorflow. Or migrate without a proof: --no-verify",
        )
    if name not in BACKENDS:
        return None
    return LibraryMissing(
        f"Keras is set to a backend that is not installed: there is no module {quoted(error.name)}",
        hint=f"Type: pip install {BACKENDS[name]}. Or choose one that is installed, in the environment variable "
        "KERAS_BACKEND or in ~/.keras/keras.json; or migrate without a proof: --no-verify",
    )


class DecisionNeeded(MigrationError):
    """Variables are missing or suspect; only the user can say what to do about them."""

    exit_code = 3
    kind = "decision"


class VerificationError(MigrationError):
    """The written file does not compute what the source computes. It was removed again."""

    exit_code = 4
    kind = "verification"
