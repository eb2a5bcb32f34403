"""The way to a device, walked with a stand-in backend that is compiled here."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent


def test_calls_on_a_device(tmp_path):
    compiler = os.environ.get("CXX") or shutil.which("c++")
    include = HERE.parents[1] / "include"
    if compiler is None or not include.exists():
        pytest.skip("no C++ compiler or no headers of attend here")
    plugin = tmp_path / "libattend_cuda.so"
    subprocess.run([compiler, "-std=c++20", "-O1", "-shared", "-fPIC", f"-I{include}", HERE / "stand_in_backend.cc", "-o", plugin], check=True)
    # no plugin beside the module: the one that is loaded by hand is the only one
    alone = {**os.environ, "ATTEND_BACKENDS": "native"}
    done = subprocess.run([sys.executable, HERE / "device_calls.py", plugin], capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stderr
    # found by its folder, and a broken neighbour does no harm
    (tmp_path / "libattend_broken.so").write_bytes(b"no object")
    code = "import attend; print([b.name for b in attend.backends()]); print(attend.load_failures())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "ATTEND_BACKEND_PATH": str(tmp_path), "ATTEND_BACKENDS": "cuda,broken"})
    assert done.stdout.startswith("['native', 'cuda']\n[('" + str(tmp_path / "libattend_broken.so")), done.stderr


def test_every_operator_on_devices():
    """test_on_device.py on the stand-ins for both drivers, where this build of the module has them."""
    devices = {**os.environ, "ATTEND_BACKENDS": "cuda,rocm", "ATTEND_SIMT": "1"}
    told = "import attend; print(*(f'{b.name}: {b.status}' for b in attend.backends() if b.name != 'native'))"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, env=devices, check=True).stdout
    if not found.count(": ok"):
        pytest.skip("no device is stood in for: " + found)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", HERE / "test_on_device.py"], capture_output=True, text=True, env=devices)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout[-4000:]
