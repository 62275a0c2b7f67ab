"""What measuring lost statistics costs, against one `model.predict` over the same data.

    python -m benchmarks.calibration BLOCKS SAMPLES RUNS

Prints both in seconds, as JSON: each with a model that has just been loaded, in turn.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks.compare_recovery import norms_of
from tcn_migrate.recovery.diagnose import STATISTICS, Loss
from tcn_migrate.recovery.measure import statistics
from tcn_migrate.tcn.layer import TCN

STEPS, FEATURES = 48, 4


def model_of(blocks: int) -> Any:
    """Input, TCN with two batch norms a block, Dense."""
    inputs = keras.Input((STEPS, FEATURES))
    stacks = max(1, blocks // 5)
    dilations = [2**number for number in range(blocks // stacks)]
    return keras.Model(
        inputs, keras.layers.Dense(2)(TCN(32, 3, nb_stacks=stacks, dilations=dilations, use_batch_norm=True)(inputs))
    )


def main() -> None:
    blocks, samples, runs = map(int, sys.argv[1:4])
    data = np.random.default_rng(0).standard_normal((samples, STEPS, FEATURES), dtype=np.float32)
    measured, predicted = [], []
    for number in range(runs + 1):
        model = model_of(blocks)
        started = time.perf_counter()
        model.predict(data, verbose=0)
        between = time.perf_counter()
        norms = norms_of(model)
        losses = [Loss((*address, name)) for address in norms for name in STATISTICS]
        begun = time.perf_counter()
        statistics(model, norms, losses, data)
        ended = time.perf_counter()
        if number:
            predicted.append(between - started)
            measured.append(ended - begun)
    print(json.dumps({"predicted": predicted, "measured": measured, "norms": len(norms)}))


if __name__ == "__main__":
    main()
