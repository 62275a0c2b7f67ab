"""As fast as reading and writing: what can be counted, since timings say more of the machine than of the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.models import Size, write_h5, write_keras

SIZE = Size(blocks=2, filters=1024)
"""Its kernels are large enough that the process that tries the file leaves them out."""
SCRIPT = """
import sys
sys.argv[0] = "tcn-migrate"
from tcn_migrate.cli.main import main

def counted():
    with open("/proc/self/io") as file:
        return {name: int(count) for name, count in (line.split(": ") for line in file)}

opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" and args[0] == sys.argv[-2] else None)
import tcn_migrate.migration, tcn_migrate.containers.keras_zip, tcn_migrate.containers.h5
before = counted()
main(["migrate", *sys.argv[1:], "--no-verify", "--quiet"], standalone_mode=False)
after = counted()
print(after["rchar"] - before["rchar"], after["wchar"] - before["wchar"], len(opened))
"""


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="no other kernel counts what a process reads")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_is_read_and_written_in_a_few_passes(tmp_path: Path, suffix: str) -> None:
    old, new = tmp_path / f"old{suffix}", tmp_path / "new.keras"
    (write_keras if suffix == ".keras" else write_h5)(SIZE, old)
    size = old.stat().st_size

    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(old), str(new)], check=True, capture_output=True, text=True, cwd=Path.cwd()
    )
    read, written, opened = map(int, ran.stdout.split())

    # The source: its hash, a `.keras` archive's checksum, and the values, once each. The new file: its checksum.
    passes = 4 if suffix == ".keras" else 3
    # HDF5 reads headers here and there in an archive by way of a buffer, which reads some more.
    assert read < (passes + 0.3) * size
    assert written < 1.05 * size
    assert opened < 13
    assert abs(new.stat().st_size - size) < 0.02 * size
