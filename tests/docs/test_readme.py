"""The README shows the example that the tests build and run, and names only files that exist."""

import pathlib
import re
import sys
import os

root = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
text = (root / "README.md").read_text()
faults = []

blocks = re.findall(r"```cpp\n(.*?)```", text, re.S)
example = (root / "examples/threads.cc").read_text()
if blocks != [example]:
    faults.append("the README's code is not examples/threads.cc")

for name in re.findall(r"`((?:src|include|docs|tests|examples)/[\w/.-]+)`", text):
    if not (root / name).exists():
        faults.append(f"the README names {name}, which does not exist")

for link in (root / "docs").rglob("*.md"):
    for target in re.findall(r"\]\(([^)#:]+)\)", link.read_text()):
        if not (link.parent / target).exists():
            faults.append(f"{link.relative_to(root)} links to {target}, which does not exist")

# The figures of docs/concurrency.md must name what they cite.
concurrency = (root / "docs/concurrency.md").read_text() + "".join(
    page.read_text() for page in (root / "docs/concurrency").glob("*.md"))
numbered = set(re.findall(r"\|\s*([A-Z]\d+)\s*\|", concurrency)) | set(
    re.findall(r"^\s*[-*]?\s*\**([A-Z]\d+)\b", concurrency, re.M))
for source in sorted((root / "src").rglob("*.[hc]*")):
    for number in re.findall(r"^\s*///\s{3}([A-Z]\d+)  ", source.read_text(), re.M):
        if number not in numbered:
            faults.append(f"{source.relative_to(root)} states {number}, which docs/concurrency.md does not list")

print("\n".join(faults) or "README and docs agree with the tree")
sys.exit(1 if faults else 0)
