"""python -m millrace_torch_cuda: what is here, and whether it works."""

import sys

from . import self_test

if __name__ == "__main__":
    sys.exit(self_test.report())
