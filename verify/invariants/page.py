"""Writes what is known of the invariants: a table in each page that is about some of them, and a page with all."""

import re
import textwrap
from collections import Counter
from typing import NamedTuple

import citations
import invariants
import mutants

DETAILS = "docs/concurrency/invariants.md"
BEGIN = "<!-- Made from verify/invariants/invariants.py. -->"
END = "<!-- To here. -->"

HEAD = """# The invariants, one by one

Each with what there is to hold it:

- **Upheld by**: the files of `src/` whose comments cite the number, those first that state it, and a few more that
  uphold it. Repeated folders are left out.
- **Scenarios** (`verify/scenarios/`) over those sources, run by the model checker. *Complete*: every execution that the
  memory model allows ([model.md](../../interleave/docs/model.md)) was explored, and so many there are. *Bounded*: so
  many within a bound, for the reason given. *Sampled*: so many random runs. *Refuted*: it shows what is wrong, and
  fails as it is to; how many executions came before depends on who shares the work.
- **Mutants**: what is taken away from the sources to see a scenario fail ([mutants.md](mutants.md)). Those that are
  argued to be harmless are left out.
- **Other tests**, which run the code as it ships.

Made from `verify/invariants/invariants.py`, the sources, the mutants and a run of `verify_scenarios` by
`MILLRACE_UPDATE=1 python3 verify/invariants/test_invariants.py`. The test `verify.invariants` does it again each time
and compares; slow scenarios, which `./test` leaves out, are as the last run of all showed them, and compared by
`./test --full`, and those over the CUDA backend's sources as the last build with it showed them. The counts are those of
the release build: assertions add executions.
"""


class Known(NamedTuple):
    """All that is found of the invariants."""
    cited: list      # citations.Citation, in src/
    scenarios: list  # results.Shown
    sections: dict   # of mutants

    def files(self, invariant) -> list:
        return [*citations.files_of(invariant.number, self.cited), *invariant.upheld_by]

    def scenarios_of(self, number: str) -> list:
        return [scenario for scenario in self.scenarios if number in scenario.invariants]

    def mutants_of(self, number: str) -> dict:
        """By section."""
        found = {title: [mutant.name for mutant in those if number in mutant.invariants.split() and not mutant.harmless]
                 for title, those in self.sections.items()}
        return {title: names for title, names in found.items() if names}


def filled(text: str) -> str:
    return textwrap.fill(text, 120, break_on_hyphens=False, break_long_words=False)


def anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def names_of(files) -> str:
    """Folder by folder, which is said once."""
    folders = {}
    for file in files:
        folders.setdefault(file.rpartition("/")[0], []).append(file)
    return ", ".join(f"`{file if file == those[0] else file.removeprefix(folder + '/') or file}`"
                     for folder, those in folders.items() for file in those)


def tally(scenarios) -> str:
    """"5 complete, 1 refuted"."""
    count = Counter(scenario.kind for scenario in scenarios)
    return ", ".join(f"{count[kind]} {kind}" for kind in ("complete", "bounded", "sampled", "refuted") if count[kind])


def executions(scenarios) -> str:
    total = sum(scenario.executions for scenario in scenarios)
    return f"{total:,} execution{'' if total == 1 else 's'}"


def table(those, known: Known, page: str) -> str:
    """Of one page's invariants."""
    prefix = "concurrency/" if page.count("/") == 1 else ""
    text = ("| number | what always holds | upheld by | scenarios | mutants | other tests |\n"
            "|---|---|---|---|---|---|\n")
    for invariant in those:
        details = f"{prefix}invariants.md#{invariant.number.lower()}"
        scenarios, broken = known.scenarios_of(invariant.number), known.mutants_of(invariant.number)
        explored = f"{tally(scenarios)}: {executions(scenarios)}" if scenarios else "none"
        target = f"{prefix}mutants.md#{anchor(*broken)}" if len(broken) == 1 else details
        count = sum(map(len, broken.values())) or "none"
        text += (f"| {invariant.number} | {cell(invariant.holds)} | {names_of(known.files(invariant))} | "
                 f"[{explored}]({details}) | [{count}]({target}) | {cell(invariant.others)} |\n")
    return text


def with_table(text: str, those, known: Known, page: str) -> str:
    """The page's text with the table between its two marks made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"{page} needs one line {BEGIN} and behind it one line {END}")
    return f"{before}{BEGIN}\n\n{table(those, known, page)}\n{END}{after}"


def scenario_table(scenarios) -> str:
    text = "| scenario | verdict | executions |\n|---|---|---|\n"
    for scenario in scenarios:
        slow = " (slow)" if scenario.slow else ""
        count = f"{scenario.executions:,}" if scenario.executions else ""
        text += f"| `{scenario.name}`{slow} | {cell(scenario.verdict())} | {count} |\n"
    return text


def mutants_in_words(broken: dict) -> str:
    parts = [f"{len(names)} in [{title}](mutants.md#{anchor(title)}): {', '.join(names)}"
             for title, names in broken.items()]
    total = sum(map(len, broken.values()))
    return f"Mutants: {f'{total}: ' if len(parts) > 1 else ''}{'; '.join(parts)}."


def section(invariant, known: Known) -> str:
    number, lacking = invariant.number, []
    scenarios, broken = known.scenarios_of(number), known.mutants_of(number)
    text = f"### {number}\n\n" + filled(f"Always: {invariant.holds}.") + "\n\n"
    text += filled(f"Upheld by {names_of(known.files(invariant))}. Other tests: {invariant.others}.") + "\n"
    if scenarios:
        text += f"\n{scenario_table(scenarios)}"
    else:
        lacking.append("scenario")
    if broken:
        text += f"\n{filled(mutants_in_words(broken))}\n"
    else:
        lacking.append("mutant")
    if lacking:
        why = f": {invariant.unmodelled}" if invariant.unmodelled else " yet"
        text += "\n" + filled(f"No {' and no '.join(lacking)}{why}.") + "\n"
    return text


def summary(known: Known) -> str:
    those = invariants.INVARIANTS
    without = {"scenario": [each for each in those if not known.scenarios_of(each.number)],
               "mutant": [each for each in those if not known.mutants_of(each.number)]}
    broken = sum(not mutant.harmless for section in known.sections.values() for mutant in section)
    text = filled(f"{len(those)} invariants; {len(known.scenarios)} scenarios ({tally(known.scenarios)}), "
                  f"{executions(known.scenarios)}; {broken} mutants.") + "\n"
    for what, lacking in without.items():
        argued = ", ".join(each.number for each in lacking if each.unmodelled)
        missing = ", ".join(each.number for each in lacking if not each.unmodelled)
        if argued:
            text += "\n" + filled(f"No {what}, for the reason given there: {argued}.") + "\n"
        if missing:
            text += "\n" + filled(f"No {what} yet: {missing}.") + "\n"
    return text


def details(known: Known, titles: dict) -> str:
    """titles: of each page with invariants."""
    text = f"{HEAD}\n{summary(known)}"
    for page, those in invariants.PAGES.items():
        text += f"\n## {titles[page]}\n\n" + "\n".join(section(invariant, known) for invariant in those)
    unnamed = [scenario for scenario in known.scenarios if not scenario.invariants]
    if unnamed:
        text += f"\n## Scenarios that name no invariant\n\n{scenario_table(unnamed)}"
    return text


def pages(root, known: Known) -> dict:
    """The text that each page is to have, by its name."""
    there = {page: (root / page).read_text() for page in invariants.PAGES}
    titles = {page: text.partition("\n")[0].removeprefix("# ") for page, text in there.items()}
    wanted = {page: with_table(text, invariants.PAGES[page], known, page) for page, text in there.items()}
    return wanted | {DETAILS: details(known, titles)}
