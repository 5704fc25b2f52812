"""Builds the wheel with scikit-build-core, against the torch of the environment that it is installed into.

pip builds where nothing but what it was asked for is installed. torch there would be another one than the one that will
load the wheel, and gigabytes that are there already; so it is asked for only where there is none.
"""

import os
import sys
import sysconfig

from scikit_build_core.build import *  # noqa: F403: the hooks that pip calls
from scikit_build_core import build as _build

_HERE = os.path.dirname(os.path.abspath(__file__))


def _installed() -> str:
    """The folder of packages outside of pip's own, if torch is there."""
    for prefix in (sys.prefix, sys.base_prefix):
        for key in ("purelib", "platlib"):
            folder = sysconfig.get_path(key, vars={"base": prefix, "platbase": prefix})
            if folder and os.path.isdir(os.path.join(folder, "torch")):
                return folder
    return ""


def get_requires_for_build_wheel(config_settings=None):
    needed = _build.get_requires_for_build_wheel(config_settings)
    return needed if _installed() else [*needed, "torch==2.11.0"]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    folder = _installed()
    if folder:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), folder]))
    return _build.build_wheel(wheel_directory, config_settings, metadata_directory)
