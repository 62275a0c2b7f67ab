"""The functions that releases of keras-tcn computed under one and the same config.

No file says which release wrote it, and a config means another function in another release. This table is all that
the forward pass, the layer and the lowering know of it: a row for each function.

Source: the releases themselves, run side by side. 2.9.0 to 3.5.4 under Keras 2, 3.5.1 to 3.5.7 under Keras 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Generation:
    """One function of a TCN.

    Attributes:
        name: the row's letter.
        releases: which releases of keras-tcn computed it.
        first_convolution: a 1x1 convolution (`main_conv1D`) stands in front of the blocks.
        matching: where a block's shortcut is a 1x1 convolution. "always": in every block, but for the last one if
            skip connections are used; "widths differ": where the block's input and output widths differ.
        inside: the activation after each of a block's two convolutions; None is the configured one.
        before_sum: the configured activation is applied once more before the residual sum.
        step: which step is returned without `return_sequences` under padding "same".
    """

    name: str
    releases: str
    first_convolution: bool
    matching: Literal["always", "widths differ"]
    inside: Literal["relu"] | None
    before_sum: bool
    step: Literal["last", "middle"]


# fmt: off
GENERATIONS = {
    row.name: row
    for row in (
        #          row  releases           first  matching         inside  before  step
        Generation("A", "2.9.0",           True,  "always",        "relu", False, "last"),
        Generation("B", "2.9.1",           True,  "always",        "relu", False, "last"),
        Generation("C", "2.9.2 to 3.0.2",  True,  "always",        "relu", False, "middle"),
        Generation("D", "3.1.0 to 3.1.2",  False, "widths differ", "relu", False, "middle"),
        Generation("E", "3.2.1 to 3.4.4",  False, "widths differ", None,   True,  "middle"),
        Generation("F", "3.5.0 to 3.5.7",  False, "widths differ", None,   True,  "middle"),
    )
}
# fmt: on

CURRENT = GENERATIONS["F"]


def has_matching_convolution(
    generation: Generation, block: int, blocks: int, skips: bool, width_in: int, width_out: int
) -> bool:
    """Whether the shortcut of `block` (counted from 0, of `blocks`) is a 1x1 convolution.

    Args:
        skips: the TCN uses skip connections.
        width_in: features that enter the block.
        width_out: its filters.
    """
    if generation.matching == "always":
        return not (skips and block == blocks - 1)
    return width_in != width_out
