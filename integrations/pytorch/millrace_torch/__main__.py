"""python -m millrace_torch: what is here and whether it works; and the stress."""

import argparse
import importlib.util
import os
import subprocess
import sys

import torch

from . import self_test
from .stress import command

_NOT_RUN = 77  # its library is missing, which it has said


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m millrace_torch", description="torch.device(\"millrace\"): what is here, and whether it works.",
        epilog="Exit codes: 0 done, 1 the work found errors, 2 usage, 4 no such device, 5 interrupted.")
    parser.add_argument("--device", type=command.device_named, default="millrace:0", help="default millrace:0")
    subcommands = parser.add_subparsers(dest="subcommand", metavar="stress")
    command.add_arguments(subcommands.add_parser(
        "stress", help="many threads on one device, every result held against the CPU's"))
    request = parser.parse_args(arguments)
    if request.subcommand == "stress":
        return command.stress(request)
    return max(self_test.report(request.device), _report_of_cuda())


def _report_of_cuda() -> int:
    """The same of torch's CUDA memory, where there is a GPU: in a process of its own, since an allocator is for good."""
    if not torch.cuda.is_available() or importlib.util.find_spec("millrace_torch_cuda") is None:
        return 0
    code = subprocess.run([sys.executable, "-m", "millrace_torch_cuda"], check=False).returncode
    return 0 if code == _NOT_RUN else code


def _run() -> int:
    try:
        code = main()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Nobody reads on; at exit Python would flush once more and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return command.FOUND_ERRORS


if __name__ == "__main__":
    sys.exit(_run())
