"""Holds the public headers against the rule that what is public is documented where it is declared.

check_docs.py ROOT prints each breach as file:line: what is missing, and exits 1 if there is one.

  - A header begins with a comment that says what it is for.
  - Each class, struct, enum, alias and function at namespace scope has a /// comment: above it, behind it
    (///<), or above the first of an unbroken group of declarations. `detail` is not public.
  - The comment of each class has a "Thread safety:" line.
"""

import pathlib
import re
import sys
from typing import Iterator, NamedTuple


class Declaration(NamedTuple):
    first: int  # line numbers, from 0
    last: int   # of the body's end, if it has one
    text: str   # up to its body or semicolon


def code_lines(lines: list[str]) -> list[str]:
    """The lines without comments, string contents and preprocessor directives."""
    result, continued = [], False
    for line in lines:
        directive = continued or line.lstrip().startswith("#")
        continued = directive and line.endswith("\\")
        code = "" if directive else re.sub(r'"(?:\\.|[^"\\])*"', '""', line)
        result.append(code.split("//")[0].rstrip())
    return result


def declarations(lines: list[str]) -> Iterator[Declaration]:
    """What is declared at namespace scope outside of `detail`."""
    scopes: list[str] = []  # of each open brace: the namespace's name, or "" for a body
    text, first = "", 0
    for number, line in enumerate(code_lines(lines)):
        for character in line + " ":
            inside_body = "" in scopes
            if character == "{":
                namespace = re.match(r"\s*(?:inline\s+)?namespace\s*([\w:]*)\s*$", text)
                scopes.append(namespace.group(1) or "detail" if namespace and not inside_body else "")
                if namespace and not inside_body:
                    text = ""
            elif character == "}":
                closed = scopes.pop() if scopes else ""
                # A body that ends a function ends its declaration; a class goes on to its semicolon.
                if closed == "" and "" not in scopes and not re.match(r"\s*(template.*>\s*)?(class|struct|enum|union|inline constexpr)\b", text):
                    yield Declaration(first, number, text) if "detail" not in scopes else Declaration(0, -1, "")
                    text = ""
            elif character == ";" and not inside_body:
                if text.strip() and "detail" not in scopes:
                    yield Declaration(first, number, text)
                text = ""
            elif not inside_body:
                if not text.strip() and not character.isspace():
                    text, first = "", number
                text += character


def needs_comment(text: str) -> bool:
    forward = re.match(r"^(template\s*<.*>\s*)?(class|struct|enum class|enum)\s+\w+(\s*:\s*[\w:]+)?$", text.strip())
    return "(" in text or re.match(r"^(template\s*<.*>\s*)?(class|struct|enum|union|using)\b", text) is not None and not forward


def comment_above(lines: list[str], number: int) -> str:
    block = []
    while number > 0 and lines[number - 1].strip().startswith("///"):
        number -= 1
        block.append(lines[number])
    return "\n".join(reversed(block))


def check(path: pathlib.Path, name: str) -> Iterator[str]:
    lines = path.read_text().splitlines()
    if not lines or not lines[0].startswith("// "):
        yield f"{name}:1: the header does not begin with a comment on what it is for"
    documented_until = -2
    for declaration in declarations(lines):
        comment = comment_above(lines, declaration.first)
        # A forward declaration and its definition look alike until the body: only a body spans braces.
        is_type = re.match(r"^(template\s*<.*>\s*)?(class|struct|enum|union)\b", declaration.text)
        has_body = any("{" in line for line in lines[declaration.first:declaration.last + 1])
        if is_type and not has_body:
            continue
        grouped = declaration.first == documented_until + 1
        if comment or grouped or "///<" in lines[declaration.last]:
            documented_until = declaration.last
        elif "(" in declaration.text or is_type or declaration.text.startswith("using"):
            yield f"{name}:{declaration.first + 1}: not documented: {' '.join(declaration.text.split())}"
        if declaration.text.startswith("class") and "Thread safety:" not in comment:
            yield f"{name}:{declaration.first + 1}: no 'Thread safety:' line: {' '.join(declaration.text.split())}"


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    breaches = [breach for path in sorted((root / "include").rglob("*.h"))
                for breach in check(path, str(path.relative_to(root)))]
    print("\n".join(breaches))
    return 1 if breaches else 0


sys.exit(main())
