"""Lines that call an operation of src/sync's façade, as the text of the sources has them."""

import pathlib
import re
from dataclasses import dataclass

ATOMIC = re.compile(r"(?:\.|->)\s*(?:load|store|exchange|compare_exchange_weak|compare_exchange_strong|fetch_\w+)\s*\(")
LOCK = re.compile(r"\b(?:LockGuard|UniqueLock)\s+\w+\s*\(")
FREE = re.compile(r"\b(?:announce|heavy_fence|compiler_fence|yield|sleep_for|add_single_writer|raise_to)\s*\(")
OTHER = re.compile(r"\b(\w+)\.(?:lock|unlock|try_lock|wait|wait_until|notify_one|notify_all)\s*\(")
DECLARED = re.compile(r"\b(?:Mutex|UniqueLock|ConditionVariable)&?\s+(\w+)")
PASSES_ON = re.compile(r"\bwhere_?\b")  # the caller's place: not a call site, but part of one
COMMENT_OR_TEXT = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)
ASSERTION = re.compile(r"\bassert\s*\(")
NO_FUNCTION = re.compile(r"\s*(?:template\s*<[^{]*>\s*)?(?:class|struct|enum|union|namespace|extern)\b")


@dataclass(frozen=True, order=True)
class Call:
    first: int  # line
    last: int


def blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def code_of(path: pathlib.Path) -> str:
    """Without comments, quotes, assertions, and what is for production only; each line where it was."""
    text = COMMENT_OR_TEXT.sub(lambda match: blank(match[0]), path.read_text())
    for match in ASSERTION.finditer(text):
        end = end_of_call(text, match.end() - 1)
        text = text[:match.start()] + blank(text[match.start():end]) + text[end:]
    lines, keep = [], [True]
    for line in text.split("\n"):
        directive = re.match(r"\s*#\s*(if|ifdef|ifndef|else|elif|endif)\b(.*)", line)
        if directive and directive[1].startswith("if"):
            keep.append("MILLRACE_CHECKED" not in directive[2] or "!" not in directive[2])
        elif directive and directive[1] == "endif":
            keep.pop()
        elif directive and directive[1] == "else":
            keep[-1] = not keep[-1]
        lines.append("" if directive or not all(keep) else line)
    return "\n".join(lines)


def end_of_call(code: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(code)):
        depth += (code[at] == "(") - (code[at] == ")")
        if depth == 0:
            return at
    raise ValueError("a parenthesis is not closed")


def declared_names(codes: list) -> set:
    return {name for code in codes for name in DECLARED.findall(code)}


def calls(code: str, names: set) -> list:
    """names: of locks and condition variables."""
    found = set()
    for pattern in (ATOMIC, LOCK, FREE, OTHER):
        for match in pattern.finditer(code):
            end = end_of_call(code, match.end() - 1)
            arguments = code[match.end():end]
            if PASSES_ON.search(arguments) or pattern is ATOMIC and "memory_order" not in arguments:
                continue
            if pattern is OTHER and match[1] not in names:
                continue
            line = lambda at: code.count("\n", 0, at) + 1
            found.add(Call(line(match.start()), line(end)))
    return sorted(found)


def functions(code: str) -> list:
    """For each line, from 1, the name of the outermost function that it is in; "" for none."""
    names, stack, begin, line = [""], [], 0, [""]
    for at, letter in enumerate(code):
        if letter == "{":
            header = code[begin:at]
            outer = next((name for name in stack if name), "")
            name = re.search(r"([~\w:]+|operator\W+)\s*\(", header)
            stack.append("" if outer or NO_FUNCTION.match(header) or not name else name[1].strip())
        if letter == "}" and stack:
            stack.pop()
        if letter in "{};":
            begin = at + 1
        now = next((name for name in stack if name), "")
        line[-1] = line[-1] or now
        if letter == "\n":
            names.append(line[-1])
            line.append(now)
    names.append(line[-1])
    return names
