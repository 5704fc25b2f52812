"""Prints the folder of torch and its version, as a CMake list; torch itself is not imported."""

import importlib.metadata
import pathlib
import sys

TESTED = ("2.11",)


def find() -> tuple:
    """The folder and the version. Exits with what to do where there is none."""
    try:
        distribution = importlib.metadata.distribution("torch")
    except importlib.metadata.PackageNotFoundError:
        sys.exit(f"{sys.executable} has no torch; install torch==2.11.0 first")
    version = distribution.version
    if not version.startswith(tuple(f"{tested}." for tested in TESTED)):
        sys.exit(f"torch {version} is installed; millrace_torch is built against what is inside torch, and was written "
                 f"for {', '.join(TESTED)}")
    return pathlib.Path(distribution.locate_file("torch")), version


if __name__ == "__main__":
    folder, version = find()
    print(f"{folder};{version}")
