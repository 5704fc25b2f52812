"""Stress: many threads use one device at once, and every result is held against the CPU's."""

from .kinds import KINDS, Kind
from .runner import Options, Report, run

__all__ = ["KINDS", "Kind", "Options", "Report", "run"]
