"""Prints the folder of torch and its version, as a CMake list; torch itself is not imported."""

import importlib.metadata
import pathlib
import sys

WRITTEN_FOR = "2.11"
NONE, ANOTHER = 3, 4  # exit codes


def main() -> None:
    try:
        torch = importlib.metadata.distribution("torch")
    except importlib.metadata.PackageNotFoundError:
        print(f"{sys.executable} has no torch; install it first: pip install torch=={WRITTEN_FOR}.0", file=sys.stderr)
        sys.exit(NONE)
    if not torch.version.startswith(f"{WRITTEN_FOR}."):
        print(f"torch {torch.version} is installed. millrace_torch is built against what is inside torch, and was written "
              f"for {WRITTEN_FOR}: pip install torch=={WRITTEN_FOR}.0 first, in an environment of its own if this one "
              "needs the other torch", file=sys.stderr)
        sys.exit(ANOTHER)
    print(f"{pathlib.Path(torch.locate_file('torch'))};{torch.version}")


if __name__ == "__main__":
    main()
