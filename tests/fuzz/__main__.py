"""python -m tests.fuzz --minutes 60"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.run import execute, long_run

parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
parser.add_argument("--minutes", type=float, default=1)
parser.add_argument("--seed", type=int, default=0, help="where to begin; another seed, other files")
parser.add_argument("--log", type=Path, help="a file with the count so far")
parser.add_argument("--again", nargs=2, metavar=("SOURCE", "SEED"), help="execute one, to look at a fault")
options = parser.parse_args()
if options.again:
    print(execute(options.again[0], int(options.again[1])))
else:
    sys.exit(long_run(options.minutes, options.seed, options.log))
