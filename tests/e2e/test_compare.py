"""bench/compare runs: the shortest of it, so that it is not found broken when it is needed."""

import json
import os
import subprocess

import pytest

from tests.support.relayd import ROOT


@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix starts only as root")
def test_a_quick_comparison(tmp_path):
    done = subprocess.run([ROOT / "bench" / "compare", "--quick", "--only", "relay-4k", "--json",
                           tmp_path / "out.json"], capture_output=True, text=True, timeout=180)
    if "is in memory" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "out.json").read_text())["rows"]["relay-4k"]
    for server in ("relayd", "postfix"):
        assert all(value > 0 for value in row["medians"][server].values()), row


def test_a_row_that_does_not_exist():
    done = subprocess.run([ROOT / "bench" / "compare", "--only", "relay-5k"], capture_output=True,
                          text=True, timeout=20)
    assert done.returncode == 2 and "relay-5k" in done.stderr
