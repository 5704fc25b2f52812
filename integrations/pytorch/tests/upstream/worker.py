"""worker.py FILE RESULTS CLASSES EVERY DEVICE NAME WAITED LEFT_OUT: runs the tests of one of upstream's files, one after the other.

A line of JSON for each goes to RESULTS; tests that have a line there are not run again, so that whoever started this
starts it again after a crash or a hang. CLASSES: a regular expression that their class fits. EVERY: of the operators of
torch's op_db each one whose name falls to it, 1 for all. DEVICE: privateuse1, or cpu, which is to fail where upstream's
test does not fit this torch. NAME: of the device that the file speaks of, which is this one here. WAITED: a regular
expression of tests whose operators are waited for. LEFT_OUT: one of tests that are not run.
"""

import atexit
import importlib
import os
import pathlib
import re
import shutil
import sys
import tempfile
import zlib

from results import Results, name_of, run_module


def keep_some_operators(every: int) -> None:
    """Before the file is loaded, which makes a test of each operator in the lists that it gives to `ops`."""
    from torch.testing._internal import common_device_type

    take_all = common_device_type.ops.__init__

    def take_some(self, operators, *arguments, **keywords):
        some = [op for op in operators if zlib.crc32(op.full_name.encode()) % every == 0]
        take_all(self, some or operators, *arguments, **keywords)

    common_device_type.ops.__init__ = take_some


def load(path: pathlib.Path, name: str):
    """The file as a module, speaking of this device where it speaks of the one that is named."""
    sys.path.insert(0, str(path.parent))
    if name != "millrace":
        # On disk, since processes that a test starts load it too.
        text = path.read_text().replace(f"torch_{name}", "millrace_torch").replace(name, "millrace")
        text = text.replace("OpenReg", "Millrace").replace(name.upper(), "MILLRACE")
        folder = tempfile.mkdtemp(prefix="upstream-")
        atexit.register(shutil.rmtree, folder)
        path = pathlib.Path(folder, path.name)
        path.write_text(text)
        sys.path.insert(0, folder)
    return importlib.import_module(path.stem)


class DeviceResults(Results):
    def __init__(self, path: pathlib.Path, waited: str):
        super().__init__(path)
        self.waited, self.waits = waited, False

    def before(self, test):
        import millrace_torch

        waits = bool(re.search(self.waited, name_of(test)))
        if waits != self.waits:
            self.waits = waits
            millrace_torch.debug(synchronous=waits)

    def after(self, test) -> str:
        return leave_clean()


def leave_clean() -> str:
    """Nothing queued, the first device and its default stream: what a test leaves is no other one's."""
    import torch

    left = ""
    for index in range(torch.millrace.device_count()):
        try:
            torch.millrace.synchronize(index)
        except RuntimeError as error:
            left = str(error)
        torch.millrace.set_stream(torch.millrace.default_stream(index))
    torch.millrace.set_device(0)
    return left


def main() -> None:
    path, log, classes, every, device, name, waited, left_out = sys.argv[1:]
    os.environ["PYTORCH_TESTING_DEVICE_ONLY_FOR"] = device
    os.environ["PYTORCH_TESTING_DEVICE_FOR_CUSTOM"] = "privateuse1"
    import torch

    import millrace_torch  # noqa: F401

    torch.set_num_threads(1)
    log = pathlib.Path(log)
    if every != "1":
        keep_some_operators(int(every))
    module = load(pathlib.Path(path).resolve(), name)
    sys.argv[:] = [module.__file__]  # what torch's loader of tests takes for the program
    run_module(module, DeviceResults(log, waited), log,
               lambda test: re.search(classes, type(test).__name__) and not re.search(left_out, name_of(test)))


if __name__ == "__main__":
    main()
