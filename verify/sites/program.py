"""Lines that call the model checker, as the machine code of verify_scenarios has them.

Each operation of the façade (src/sync) ends in a function of interleave's that takes the place of its caller, a Where. For
each call of such a function, the debug information tells the functions that were inlined into each other there. The
innermost one that neither takes a Where nor belongs to the façade is the one whose line the operation is known by.
"""

import functools
import os
import pathlib
import re
import subprocess

CALL = re.compile(r"^\s*([0-9a-f]+):\s+\S+\s+(?:0x)?[0-9a-f]+ <([^>+]*5Where[^>+]*)>")
TAKES_PLACE = re.compile(r"\binterleave::Where[,)]")
# They take a place and synchronise with nobody: the beginning and the end of objects, memory, what is a thread's own.
OTHERWISE = re.compile(r"interleave::detail::(construct|destroy|plain_\w+|closure_room|slot_set|thread_detach|"
                       r"process_fork|semaphore_misused)\(|\b(atomic|mutex|condition_variable|once_flag)(<.*>)?::"
                       r"(atomic|mutex|condition_variable|once_flag)\(")
PASSES_ON = re.compile(r"\bwhere\b")
FACADE = re.compile(r"interleave/include/|src/sync/(atomic|base|mutex)\.h$")
# These are no place: they call with that of the lock, or are another function's code without its lines.
ELSEWHERE = re.compile(r"~(LockGuard|UniqueLock)\b|\bthunk to ")


def run(*command: str, of: str = "") -> list:
    return subprocess.run(command, input=of, capture_output=True, text=True, check=True).stdout.splitlines()


def calls(program: pathlib.Path) -> list:
    """The addresses of calls of what takes a place."""
    code = run("objdump", "-d", "--no-show-raw-insn", str(program))
    found = [match.groups() for match in map(CALL.match, code) if match]
    names = sorted({name for _, name in found})
    words = zip(names, run("c++filt", of="\n".join(names)))
    meant = {name for name, text in words if TAKES_PLACE.search(text) and not OTHERWISE.search(text)}
    return [address for address, name in found if name in meant]


def in_project(file: str, root: pathlib.Path) -> str:
    """Below the project's folder; empty for another's. A cache of the compiler's may know it by another checkout's name."""
    path = os.path.normpath(file)
    own = path.removeprefix(f"{root}/") if path.startswith(f"{root}/") else path[path.rfind("/src/") + 1:]
    return own if own.startswith("src/") and (root / own).is_file() else ""


def passes_on(file: pathlib.Path, line: int) -> bool:
    """A line that has its caller's place, and hands it on."""
    return PASSES_ON.search(lines_of(file)[line - 1]) is not None


@functools.cache
def lines_of(file: pathlib.Path) -> list:
    return file.read_text().splitlines()


def lines_called_from(program: pathlib.Path, root: pathlib.Path) -> set:
    """(file in the project's folder, line)."""
    frames = run("addr2line", "-a", "-f", "-C", "-i", "-e", str(program), of="\n".join(calls(program)))
    found = set()
    beginnings = [at for at, text in enumerate(frames) if text.startswith("0x")]
    for begin, end in zip(beginnings, beginnings[1:] + [len(frames)]):
        for function, place in zip(frames[begin + 1:end:2], frames[begin + 2:end:2]):
            file, line = re.match(r"(.*):(\d+|\?)", place).groups()
            if ELSEWHERE.search(function):
                break
            if FACADE.search(file) or TAKES_PLACE.search(function):
                continue
            own = in_project(file, root)
            if own and line.isdigit():
                if passes_on(root / own, int(line)):
                    continue
                found.add((own, int(line)))
            break
    return found
