"""Holds the public headers against the rule that what is public is documented where it is declared.

check_docs.py ROOT prints each breach as file:line: what is missing, and exits 1 if there is one.

  - A header begins with a comment that says what it is for.
  - Each class, struct, enum, alias and function at namespace scope has a /// comment: above it, behind it
    (///<), or above the first of an unbroken group of declarations. In a C header /* */ does as well.
    Forward declarations need none; `detail` is not public.
  - The comment of each class has a "Thread safety:" line.
"""

import pathlib
import re
import sys
from typing import Iterator, NamedTuple

TYPE = re.compile(r"(template\s*<.*?>\s*)?(typedef\s+)?(class|struct|enum|union)\b")
SCOPE = re.compile(r'(inline\s+)?namespace\s*(?P<name>[\w:]*)$|extern\s*"\s*"$')


class Declaration(NamedTuple):
    first: int      # line numbers, from 0
    last: int
    text: str       # without its body
    has_body: bool

    def needs_comment(self) -> bool:
        if TYPE.match(self.text):
            return self.has_body
        if self.text.startswith("static_assert"):
            return False
        return "(" in self.text or self.text.startswith("using ")


def without_comments(text: str) -> str:
    """Comments, string contents and preprocessor directives blanked out, line for line."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|^[ \t]*#(?:\\\n|[^\n])*'

    def spaces(match: re.Match) -> str:
        if match.group().startswith('"'):
            return '""'
        return re.sub(r"[^\n]", " ", match.group())

    return re.sub(pattern, spaces, text, flags=re.DOTALL | re.MULTILINE)


def declarations(code: str) -> Iterator[Declaration]:
    """What is declared at namespace scope outside of `detail`."""
    namespaces: list[str] = []
    depth = 0  # braces open inside the current declaration
    text, first, line, has_body = "", 0, 0, False
    for character in code:
        if character == "\n":
            line += 1
        ends = False
        if character == "{":
            scope = SCOPE.match(text.strip()) if depth == 0 else None
            if scope:
                namespaces.append(scope.group("name") or "")
                text = ""
                continue
            depth += 1
            has_body = True
        elif character == "}":
            if depth == 0:
                namespaces.pop()
                continue
            depth -= 1
            # A function ends with its body; a type and an initialiser go on to the semicolon.
            ends = depth == 0 and "(" in text and text.count("(") == text.count(")") and not TYPE.match(text)
        elif depth == 0:
            ends = character == ";"
            if not text.strip():
                text, first = "", line
            if not ends:
                text += character
        if ends:
            if text.strip() and "detail" not in namespaces:
                yield Declaration(first, line, " ".join(text.split()), has_body)
            text, has_body = "", False


def comment_above(lines: list[str], number: int) -> str:
    begin = number
    if begin > 0 and lines[begin - 1].rstrip().endswith("*/"):
        begin -= 1
        while begin > 0 and "/*" not in lines[begin]:
            begin -= 1
    while begin > 0 and lines[begin - 1].lstrip().startswith("///"):
        begin -= 1
    return "\n".join(lines[begin:number])


def check(path: pathlib.Path, name: str) -> Iterator[str]:
    text = path.read_text()
    lines = text.splitlines()
    if not text.startswith(("// ", "/* ")):
        yield f"{name}:1: does not begin with a comment on what it is for"
    documented = -2  # the last line of the documented group so far
    for declaration in declarations(without_comments(text)):
        comment = comment_above(lines, declaration.first)
        place = f"{name}:{declaration.first + 1}"
        if comment or declaration.first == documented + 1 or "///<" in lines[declaration.last]:
            documented = declaration.last
        elif declaration.needs_comment():
            yield f"{place}: not documented: {declaration.text}"
        if declaration.text.startswith("class") and declaration.has_body and "Thread safety:" not in comment:
            yield f"{place}: no 'Thread safety:' line: {declaration.text}"


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    breaches = [breach for path in sorted((root / "include").rglob("*.h"))
                for breach in check(path, str(path.relative_to(root)))]
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
