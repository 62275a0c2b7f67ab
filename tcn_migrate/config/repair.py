"""What was changed in a config, in words for the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Repair:
    """One change to a stored config.

    Attributes:
        layer: the layer's name as it stands in the file, nesting with "/"; not yet made safe to print.
        name: the repair, a short stable identifier such as "lambda-last-step".
        sentence: what was changed and why, for a reader who has never seen the file. Safe to print.
    """

    layer: str
    name: str
    sentence: str
