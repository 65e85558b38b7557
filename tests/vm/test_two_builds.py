"""Two builds of the same sources, at another place and a later time, hold the same root file system.

A build takes minutes: it has a marker of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from image.compare import compare
from image.pipeline import source_date_epoch

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.twice, pytest.mark.timeout(1800)]


def test_a_second_build_elsewhere_and_later_holds_the_same_files(disk: Path, tmp_path: Path) -> None:
    sources = tmp_path / "elsewhere" / "sources"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in (
        *listed.decode().split("\0")[:-1],
        *(str(p.relative_to(ROOT)) for p in ROOT.glob("appliance/**/*.so")),
    ):
        if (ROOT / name).is_file():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, sources / name)
    subprocess.run(
        [sys.executable, "-m", "image", "build", "--cache", str(ROOT / ".cache")],
        cwd=sources, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(source_date_epoch())},
    )  # fmt: skip
    (second,) = (sources / "build").glob("forwarder-*.raw")
    assert compare(disk, second) == []
