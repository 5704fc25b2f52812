"""Builds the wheel with scikit-build-core, against the torch of the environment that it is installed into.

pip builds where nothing but what it was asked for is installed. torch there would be another one than the one that will
load the wheel, and gigabytes that are there already; so it is asked for only where there is none.
"""

import io
import pathlib
import subprocess
import sys
import tarfile

from scikit_build_core.build import *  # noqa: F403: the hooks that pip calls and that are not below
from scikit_build_core import build as _build

import find_torch

_PROJECT = pathlib.Path(__file__).resolve().parents[1]
# The core is two folders up in the repository, and in a source distribution, which goes without the repository, here.
_REPOSITORY = _PROJECT.parents[1]
_CORE = ("CMakeLists.txt", "LICENSE", "cmake", "include", "src")


def _in_repository() -> bool:
    return not (_PROJECT / "core").exists() and (_REPOSITORY / "include" / "millrace").exists()


def _has_torch() -> bool:
    """Outside of pip's own place. Another version than this can be built for ends the build."""
    # -E: pip hides by variables what is installed.
    asked = subprocess.run([sys.executable, "-E", find_torch.__file__], capture_output=True, text=True)
    if asked.returncode not in (0, find_torch.NONE):
        sys.exit(asked.stderr.strip())
    return asked.returncode == 0


def _requirements(needed: list) -> list:
    return needed if _has_torch() else [*needed, f"torch=={find_torch.WRITTEN_FOR}.0"]


def _settings(given) -> dict:
    """In the repository what was built is kept for the next time."""
    kept = {"build-dir": str(_REPOSITORY / "build" / "pytorch-{wheel_tag}")} if _in_repository() else {}
    return {**kept, **(given or {})}


def get_requires_for_build_wheel(config_settings=None):
    return _requirements(_build.get_requires_for_build_wheel(config_settings))


def get_requires_for_build_editable(config_settings=None):
    return _requirements(_build.get_requires_for_build_editable(config_settings))


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _build.build_wheel(wheel_directory, _settings(config_settings), metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _build.build_editable(wheel_directory, _settings(config_settings), metadata_directory)


def build_sdist(sdist_directory, config_settings=None):
    """scikit-build-core's, and the core's sources."""
    name = _build.build_sdist(sdist_directory, config_settings)
    if _in_repository():
        _add_core(pathlib.Path(sdist_directory) / name)
    return name


def _add_core(path: pathlib.Path) -> None:
    top = path.name.removesuffix(".tar.gz")
    whole = io.BytesIO()
    with tarfile.open(path) as source, tarfile.open(fileobj=whole, mode="w:gz") as target:
        for member in source:
            target.addfile(member, source.extractfile(member) if member.isfile() else None)
        for part in _CORE:
            target.add(_REPOSITORY / part, f"{top}/core/{part}")
    path.write_bytes(whole.getvalue())
