"""The shared library shows Millrace's names and no others: check_symbols.py NM LIBRARY.

A foreign name that it exported could be bound to by, or bind to, another library in the process.
"""

import re
import subprocess
import sys

OURS = re.compile(r"millrace::|(vtable|typeinfo|typeinfo name|VTT) for millrace::|guard variable for millrace::|millrace_")


def main() -> int:
    nm, library = sys.argv[1:]
    listing = subprocess.run([nm, "-D", "-C", "--defined-only", library], check=True, capture_output=True, text=True)
    names = [line.split(maxsplit=2)[2] for line in listing.stdout.splitlines()]
    foreign = [name for name in names if not OURS.match(name)]
    if len(foreign) == len(names):
        print(f"{library} exports none of Millrace's names; it exports {names}")
        return 1
    for name in foreign:
        print(f"{library} exports {name}")
    return 1 if foreign else 0


sys.exit(main())
