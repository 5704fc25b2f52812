#!/usr/bin/env python3
"""On a terminal: a progress bar that clears itself, a table cut to the width. In a pipe: neither."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import cli

COLUMNS = 80


def run_on_terminal(*arguments):
    """Returns what standard output and standard error, both a terminal, were written."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    with subprocess.Popen([cli.PROGRAM, *map(str, arguments)], stdin=follower, stdout=follower, stderr=follower,
                          env=environment) as process:
        os.close(follower)
        chunks = []
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(leader)
    assert process.returncode == 0, process.returncode
    return b"".join(chunks).decode()


def test_progress_bar():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "zeros.safetensors"
        cli.sparse_safetensors(file, 64, 32 << 20)
        seen = run_on_terminal("stats", file, "--threads", 1)
        assert "%  " in seen and "GB/s" in seen and "[#" in seen, seen[:500]
        assert "\r\x1b[K" in seen, "the bar must clear itself"
        assert "[#" not in run_on_terminal("stats", file, "--threads", 1, "--quiet")
        piped = cli.run("stats", file, "--threads", 1)
        assert piped.returncode == 0 and piped.stderr == "" and "\x1b" not in piped.stdout, piped


def test_table():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "sample.safetensors"
        assert cli.run("sample", file).returncode == 0
        seen = run_on_terminal("stats", file)
        assert "\x1b[31mNaN 3\x1b[0m" in seen and "inf 2" in seen and "all-zero" in seen, seen
        piped = cli.run("stats", file).stdout
        assert "layers.1.attention.qkv.weight" in piped and "NaN 3" in piped and "\x1b" not in piped
        assert cli.run("stats", file, "--quiet").stdout == ""


def test_hostile_names_do_not_reach_the_terminal():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "names.safetensors"
        cli.write_safetensors(file, {"\x1b]0;owned\x07\nname": ("U8", [1], b"\1")})
        seen = run_on_terminal("stats", file)
        assert "\x1b]0" not in seen and "\x07" not in seen, repr(seen)
        assert cli.run_json(file)["tensors"][0]["name"] == "\x1b]0;owned\x07\nname"


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
