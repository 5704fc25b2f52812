"""Holds the sources against the rules that a compiler does not check.

check_layers.py ROOT prints each breach as file:line: rule: what was found, and exits 1 if there is one.

  include-order    a layer includes only what src/README.md lets it
  public-only      tools, examples and bench include no file of src/
  sync-only        standard thread primitives are named in src/sync and nowhere else in the core
  memory-order     every atomic access in src/ writes its order out
  length           no source file is longer than 600 lines
"""

import pathlib
import re
import sys
from typing import Iterator, NamedTuple

MAX_LINES = 600
SUFFIXES = {".h", ".cc", ".cu", ".cuh"}

THREAD_NAMES = re.compile(
    r"\bstd::(atomic\w*|mutex|timed_mutex|recursive_\w*mutex|shared_\w*mutex|lock_guard|unique_lock|scoped_lock"
    r"|shared_lock|condition_variable\w*|thread|jthread|this_thread|call_once|once_flag|future|shared_future"
    r"|promise|async|packaged_task|barrier|latch|counting_semaphore|binary_semaphore|stop_\w+)\b"
    r"|\bthread_local\b|\b__thread\b|\b__(atomic|sync)_\w+"
    r"|\bpthread_(create|join|detach|once|key|mutex|cond|rwlock|spin|barrier|[gs]etspecific)\w*"
)
THREAD_HEADERS = {
    "atomic", "mutex", "shared_mutex", "condition_variable", "thread", "future", "barrier", "latch",
    "semaphore", "stop_token",
}
# The forms of an atomic access; whether an order is written is decided on the text of its arguments.
ATOMIC_ACCESS = re.compile(
    r"(?:\.|->)\s*(load|store|exchange|fetch_(?:add|sub|or|and|xor)|compare_exchange_(?:weak|strong)|test_and_set)\s*\("
)
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


class Breach(NamedTuple):
    file: str
    line: int
    rule: str
    found: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.found}"


class Layers:
    """The order in src/README.md: which layers there are, and which each may include."""

    def __init__(self, readme: pathlib.Path):
        self.allowed: dict[str, set[str]] = {}
        self.vocabulary: set[str] = set()
        layer = None
        text = readme.read_text()
        for line in text.splitlines():
            if line.startswith("## "):
                layer = line[3:].strip()
            elif layer and line.startswith("Includes:"):
                named = line[len("Includes:"):].strip().rstrip(".")
                names = set() if named == "nothing" else {name.strip() for name in named.split(",")}
                if not names <= set(self.allowed):
                    raise SystemExit(f"{readme}: {layer} includes {names - set(self.allowed)}, not above it")
                self.allowed[layer] = names
        if not self.allowed:
            raise SystemExit(f"{readme}: no '## layer' with an 'Includes:' line")
        paragraph = re.search(r"The public vocabulary is.*?\n\n", text, re.DOTALL)
        if paragraph:
            self.vocabulary = set(re.findall(r"`(\w+\.h)`", paragraph.group()))

    def may_include(self, layer: str, other: str) -> bool:
        return other in self.allowed[layer]


def blank(text: str) -> str:
    """The text with comments and string literals blanked out, line for line."""

    def spaces(match: re.Match) -> str:
        found = match.group()
        if found.startswith('"') or found.startswith("'"):
            return found[0] + " " * (len(found) - 2) + found[-1]
        return re.sub(r"[^\n]", " ", found)

    pattern = r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\''
    return re.sub(pattern, spaces, text, flags=re.DOTALL)


def arguments(code: str, begin: int) -> str:
    """What stands between the parenthesis that opens at begin and the one that closes it."""
    depth = 0
    for i in range(begin, len(code)):
        depth += {"(": 1, ")": -1}.get(code[i], 0)
        if depth == 0:
            return code[begin + 1:i]
    return code[begin + 1:]


def files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES)


def check_includes(layers: Layers, layer: str, backend: str, name: str, text: str) -> Iterator[Breach]:
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, angled = match.groups()
        if quoted:
            parts = quoted.split("/")
            if len(parts) < 2 or parts[0] not in layers.allowed:
                yield Breach(name, number, "include-order", f'"{quoted}" is not written "layer/file.h"')
            elif parts[0] != layer and not layers.may_include(layer, parts[0]):
                yield Breach(name, number, "include-order", f'{layer} may not include "{quoted}"')
            elif parts[0] == "backends" and layer == "backends" and parts[1] != backend:
                yield Breach(name, number, "include-order", f'backend {backend} may not include "{quoted}"')
        elif angled.startswith("millrace/"):
            header = angled.split("/", 1)[1]
            if layer != "api" and header not in layers.vocabulary:
                yield Breach(name, number, "include-order", f"{layer} may not include <{angled}>")
        elif angled in THREAD_HEADERS and layer != "sync":
            yield Breach(name, number, "sync-only", f"<{angled}>")


def check_threads(name: str, code: str) -> Iterator[Breach]:
    for number, line in enumerate(code.splitlines(), 1):
        for match in THREAD_NAMES.finditer(line):
            yield Breach(name, number, "sync-only", match.group())


def check_orders(name: str, code: str) -> Iterator[Breach]:
    for match in ATOMIC_ACCESS.finditer(code):
        written = arguments(code, match.end() - 1)
        if not re.search(r"\bmemory_order|\border\b|\b(success|failure)\b", written):
            number = code.count("\n", 0, match.start()) + 1
            yield Breach(name, number, "memory-order", f"{match.group(1)}({written.strip()}) names no order")


def check_length(name: str, text: str) -> Iterator[Breach]:
    count = len(text.splitlines())
    if count > MAX_LINES:
        yield Breach(name, count, "length", f"{count} lines, at most {MAX_LINES}")


def check(root: pathlib.Path) -> list[Breach]:
    layers = Layers(root / "src" / "README.md")
    breaches: list[Breach] = []

    for path in files(root / "src"):
        parts = path.relative_to(root / "src").parts
        name, text = str(path.relative_to(root)), path.read_text()
        layer = parts[0]
        if layer not in layers.allowed:
            breaches.append(Breach(name, 1, "include-order", f"{layer} is no layer of src/README.md"))
            continue
        code = blank(text)
        breaches += check_includes(layers, layer, parts[1], name, text)
        breaches += check_orders(name, code)
        if layer != "sync":
            breaches += check_threads(name, code)

    for path in files(root / "include"):
        breaches += check_threads(str(path.relative_to(root)), blank(path.read_text()))

    for folder in ("tools", "examples", "bench"):
        for path in files(root / folder):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if match and (match.group(1) or "").split("/")[0] in layers.allowed:
                    breaches.append(Breach(str(path.relative_to(root)), number, "public-only", match.group(1)))

    for folder in ("include", "src", "tools", "tests", "examples", "bench", "fuzz"):
        for path in files(root / folder):
            breaches += check_length(str(path.relative_to(root)), path.read_text())
    return breaches


def main() -> int:
    breaches = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
