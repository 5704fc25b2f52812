"""cuda_worker.py FILE RESULTS ALLOCATOR PART PARTS SELECTED ALONE WHICH: runs the tests of upstream's test_cuda.py with one of the allocators.

As worker.py. ALLOCATOR: what torch.cuda.get_allocator_backend() has to say, so that a run with the wrong one counts for nothing.
PART of PARTS: the tests whose names fall to it. SELECTED: a regular expression that their names fit. ALONE: one of those that are
run by one process at a time, which WHICH, `alone` or `together`, says whether to run.
"""

import importlib
import os
import pathlib
import re
import sys
import zlib

from processes import AGAIN
from results import Results, name_of, run_module


class CudaResults(Results):
    lost = False

    def after(self, test) -> str:
        """An error that the context keeps, as an assertion in a kernel, fails whatever comes after it in the process."""
        import torch

        try:
            torch.cuda.synchronize()
        except RuntimeError:
            self.lost = True
        return ""

    def stopTest(self, test):
        super().stopTest(test)
        if self.lost:
            sys.stdout.flush()
            os._exit(AGAIN)


def load(path: pathlib.Path):
    """Files of other versions of torch ask for names that this one has elsewhere."""
    import torch
    from torch.testing._internal import common_utils

    if not hasattr(common_utils, "TEST_CUDAMALLOCASYNC"):
        common_utils.TEST_CUDAMALLOCASYNC = torch.cuda.get_allocator_backend() == "cudaMallocAsync"
    sys.path.insert(0, str(path.parent))
    return importlib.import_module(path.stem)


def main() -> None:
    path, log, allocator, part, parts, selected, alone, which = sys.argv[1:]
    path, log = pathlib.Path(path).resolve(), pathlib.Path(log)
    import torch

    if torch.cuda.get_allocator_backend() != allocator:
        sys.exit(f"the allocator is {torch.cuda.get_allocator_backend()}, and {allocator} was to be tested")
    module = load(path)
    sys.argv[:] = [module.__file__]  # what torch's loader of tests takes for the program

    def is_mine(test) -> bool:
        name = name_of(test)
        return (bool(re.search(selected, name)) and bool(re.search(alone, name)) == (which == "alone") and
                zlib.crc32(name.encode()) % int(parts) == int(part))

    run_module(module, CudaResults(log), log, is_mine)


if __name__ == "__main__":
    main()
