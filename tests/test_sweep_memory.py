"""Long texts stream: what a sweep holds at a time does not grow with its points."""

import json
import subprocess
import sys

import pytest

LENGTH = 1 << 18
POINT = 4 * 8 * LENGTH              # bytes of a point's slash variables
RUN = """
import json, resource, sys
from pathlib import Path
from ropesim import store
points, place = int(sys.argv[1]), Path(sys.argv[2])
spec = {"rope": {"preset": "llama-3-8b"}, "head": {"kind": "slash", "lag": 7, "strength": 0.2},
        "run": {"length": %d, "samples": 0, "quantities": ["slash"]}, "sweep": {"head.lag": {"range": [points]}}}
counts = store.run(spec, Path("."), place, chunk=2)
print(json.dumps([counts.computed, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
""" % LENGTH


def peak(points, folder):
    done = subprocess.run([sys.executable, "-c", RUN, str(points), str(folder / f"{points}.zarr")],
                          capture_output=True, text=True, check=True)
    computed, size = json.loads(done.stdout)
    assert computed == points
    return size


@pytest.mark.compiled
def test_peak_memory_does_not_grow_with_the_points(tmp_path):
    few, many = peak(4, tmp_path), peak(24, tmp_path)
    assert many - few < 4 * POINT                 # twenty points more, 160 MB of results
