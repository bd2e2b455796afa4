# SPDX-License-Identifier: BSD-3-Clause
"""Files are replaced whole or not at all: full disks, failing renames, interrupts, links."""

import errno
import os
import stat
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from lstmfast.saving import safetensors
from lstmfast.saving.atomic import replace_file

OLD = b"the old file"


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(OLD)
    return path


def assert_untouched(target):
    assert target.read_bytes() == OLD
    assert os.listdir(target.parent) == [target.name]  # no temporary file is left


def save(target):
    safetensors.save_file({"x": np.zeros(1000, "f4")}, target)


def test_replaces(target):
    save(target)
    assert safetensors.load_file(target)[0]["x"].size == 1000
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_failing_system_call(target, monkeypatch, function):
    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space"):
        save(target)
    monkeypatch.undo()
    assert_untouched(target)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
def test_interrupted_in_the_middle(target, error):
    with pytest.raises(error), replace_file(target) as file:
        file.write(b"half")
        raise error
    assert_untouched(target)


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_full_disk(target):
    """The real thing: the kernel refuses to let the file grow."""
    program = textwrap.dedent(f"""
        import resource, signal
        import numpy as np
        from lstmfast.saving import safetensors
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            safetensors.save_file({{"x": np.ones(100_000, "f4")}}, {str(target)!r})
        except OSError as error:
            print("refused", error.errno)
    """)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["refused", str(errno.EFBIG)]
    assert_untouched(target)


def test_symbolic_link_is_followed(target):
    link = target.with_name("link")
    link.symlink_to(target.name)
    save(link)
    assert link.is_symlink()
    assert safetensors.load_file(target)[0]["x"].size == 1000


def test_permissions_are_kept(target):
    target.chmod(0o640)
    save(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_new_file_obeys_umask(tmp_path):
    old = os.umask(0o027)
    try:
        save(tmp_path / "new")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_directory_is_refused(tmp_path):
    with pytest.raises(ValueError, match="directory"):
        save(tmp_path)
    with pytest.raises(ValueError, match="existing directory"):
        save(tmp_path / "none" / "file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_devices_stay(tmp_path):
    """A rename would put a file in the place of a device or a pipe."""
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    link = tmp_path / "link.safetensors"
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(ValueError, match="must name a regular file"), replace_file(path) as file:
            file.write(b"x")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.safetensors", "pipe.safetensors"]
