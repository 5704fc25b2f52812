#!/usr/bin/env python3
"""Re-enacts, in a copy of the sources, how a fault gets in, is found, is mended and counts as mended.

    verify/story.py

A handler that is added to a stream just after its command buffer was committed is lost: a fault that reviews have
passed. Here a round of the mutated sources fails in the model and under eight threads, each time with a command that
shows it again. Then the sources are mended and the old program is run: it is STALE, and counts for nothing but the
sources. Built again, the round is CLEAN.

Takes three quarters of an hour where nothing is built yet; the copy stays in build/verify/story, and serves the next
time. Exit status: 0 if all of it went so, 1 with what did not.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
STORY = ROOT / "build/verify/story"
TREE, LEDGER = STORY / "tree", STORY / "ledger"
PROGRAM = TREE / "build/release/bin/millrace"
MUTANT = "handler-after-commit"
LEFT_OUT = {".git", "build", "__pycache__", "ledger"}


def files_of(root: pathlib.Path) -> set:
    found = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        found |= {(pathlib.Path(folder) / name).relative_to(root) for name in names if name not in LEFT_OUT}
    return found


def copy_sources():
    """Touches only what differs, so that builds of an earlier story serve."""
    TREE.mkdir(parents=True, exist_ok=True)
    wanted = files_of(ROOT)
    for path in files_of(TREE) - wanted:
        (TREE / path).unlink()
    for path in wanted:
        source, target = ROOT / path, TREE / path
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)


def expect(condition, what):
    if not condition:
        sys.exit(f"verify/story.py: {what}")


def mutate() -> tuple:
    """The file that the mutant changes, and what it was."""
    sys.path.insert(0, str(TREE / "verify/mutants"))
    sys.dont_write_bytecode = True
    import mutants
    chosen = [mutant for mutant in mutants.MUTANTS if mutant.name == MUTANT]
    expect(len(chosen) == 1, f"verify/mutants has {len(chosen)} mutants named {MUTANT}, and the story is about one")
    path = TREE / chosen[0].file
    text = original = path.read_text()
    for before, after in chosen[0].changes:
        expect(text.count(before) == 1, f"{MUTANT} does not apply to {chosen[0].file}")
        text = text.replace(before, after)
    path.write_text(text)
    return path, original


def build():
    subprocess.run([TREE / "run", "--no-install", "--version"], cwd=TREE, check=True, stdout=subprocess.DEVNULL)


def verify(*arguments: str) -> dict:
    done = subprocess.run([PROGRAM, "verify", "--ledger", LEDGER, "--json", "-", *arguments], cwd=TREE,
                          stdout=subprocess.PIPE, text=True, check=False)
    report = json.loads(done.stdout)
    report["exit"] = done.returncode
    print(f"  {report['title']}: {report['result']}, " +
          ", ".join(f"{attempt['title']} {attempt['outcome']}" for attempt in report["attempts"]), flush=True)
    return report


def findings(report: dict, attempt: int) -> list:
    return report["attempts"][attempt - 1]["findings"]


def main():
    shutil.rmtree(LEDGER, ignore_errors=True)
    copy_sources()

    print(f"the sources get the fault {MUTANT}, and are built:")
    path, original = mutate()
    try:
        build()
        faulty = verify("--attempts", "1,3")
    finally:
        path.write_text(original)
    expect(faulty["result"] == "FAILED" and faulty["exit"] == 1, "the round of the fault has not failed")
    under_eight = [one for one in findings(faulty, 3) if "stress handlers" in one["what"] and "8 threads" in one["what"]]
    expect(under_eight, "eight threads have not shown the fault")
    in_model = [one for one in findings(faulty, 1) if "--replay" in one["repeat"]]
    expect(in_model, "no scenario has shown the fault")
    # The scenarios are still those of the fault, and so is the program; eight threads may be lucky, the model is not.
    for finding in (in_model[0], under_eight[0]):
        again = subprocess.run(["sh", "-c", finding["repeat"]], cwd=TREE, capture_output=True, check=False)
        print(f"  {finding['what']}\n    {finding['repeat']}\n    ends with {again.returncode}", flush=True)
        expect(again.returncode == 1 or finding is not in_model[0], "the model's finding is not repeated by its command")

    print("the sources are mended, the program is the old one:")
    stale = verify("--attempts", "1,3")
    expect(stale["ledger"]["binary"]["stale"], "the old program is not called stale")
    expect(stale["attempts"][0]["outcome"] == "clean", "the mended sources are not clean")
    expect(stale["attempts"][2]["outcome"] == "not run", "the old program was run")
    expect(stale["result"] == "INCOMPLETE" and stale["exit"] == 1, "the round of the old program counts")

    print("the program is built again:")
    build()
    clean = verify()
    expect(clean["result"] == "CLEAN" and clean["exit"] == 0, "the round of the mended program is not clean")
    status = subprocess.run([PROGRAM, "verify", "--status", "--ledger", LEDGER, "--json", "-"], cwd=TREE,
                            stdout=subprocess.PIPE, text=True, check=True)
    standing = json.loads(status.stdout)
    expect((standing["source_streak"], standing["complete_streak"]) == (2, 1),
           f"the streaks are {standing['source_streak']} and {standing['complete_streak']}, expected 2 and 1")
    print("found, mended, and counted once it was built")


if __name__ == "__main__":
    main()
