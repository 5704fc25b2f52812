"""Which comments of the sources name which invariants."""

import pathlib
import re
from typing import NamedTuple

COMMENT = re.compile(r"//.*")
NUMBER = re.compile(r"(?<![\w.])[A-Z]\d{1,2}\b")
STATES = re.compile(r"///\s+([A-Z]\d{1,2})\s")  # a line of a class comment that says what the invariant is
SUFFIXES = {".h", ".cc", ".cu", ".cuh"}


class Citation(NamedTuple):
    number: str
    file: str  # from the folder searched
    line: int
    states: bool


def in_text(text: str, file: str) -> list:
    found = []
    for line, content in enumerate(text.splitlines(), 1):
        comment = COMMENT.search(content)
        if comment:
            stated = STATES.match(comment[0])
            found += [Citation(number, file, line, stated is not None and stated[1] == number)
                      for number in NUMBER.findall(comment[0])]
    return found


def in_folder(folder: pathlib.Path) -> list:
    return [citation for file in sorted(folder.rglob("*")) if file.suffix in SUFFIXES
            for citation in in_text(file.read_text(), file.relative_to(folder).as_posix())]


def files_of(number: str, citations) -> list:
    """Where it is stated first, then where else it is cited."""
    stating = {citation.file for citation in citations if citation.number == number and citation.states}
    citing = {citation.file for citation in citations if citation.number == number}
    return sorted(stating) + sorted(citing - stating)
