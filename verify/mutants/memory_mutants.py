"""Mutants of protect mode's frees and of the listing of memory."""

from mutants import RACE, STUCK, WRONG, mutant

ARENA_CC = "src/memory/arena.cc"
ARENA_H = "src/memory/arena.h"
SLOW_CC = "src/memory/slow.cc"
ALLOCATOR_CC = "src/memory/allocator.cc"
REPORT_CC = "src/memory/report.cc"
NEXT_LIFE = "checked_use.ends_beside_its_next_life"
AGAIN = "checked_use.allocated_again"
TAKE_CHECKED = "Block* Arena::take_checked(const BlockRequest& request) {\n  sync::LockGuard lock(mutex_);\n"
IS_OVER = "return use.checked ? host_.ended(use.point) : host_.reached(use.point);"
PLACES = "listing.of_each_place"
GROWTH = "listing.beside_growth listing.beside_a_trim"

CHECKED = [
    mutant("checked-end-is-told", "A5", ARENA_CC, IS_OVER, "return host_.reached(use.point);", NEXT_LIFE, WRONG,
           "who comes after a use that nothing covers is ordered after it because the allocator has seen its end"),
    mutant("checked-is-not-waited-for", "A5", ARENA_CC, IS_OVER, "return use.checked || host_.reached(use.point);", NEXT_LIFE + " checked_use.ends_beside_a_trim", WRONG,
           "memory is hidden, or given back, while another stream uses it"),
    mutant("checked-is-dropped-with-its-life", "A5", ARENA_CC, "    taken.own_end = 0;  // its own stream's order does the rest\n",
           "    taken.own_end = 0;\n    taken.uses.clear();\n", NEXT_LIFE, WRONG, "the next owner's free does not know of the use"),
    mutant("checked-taken-without-lock", "A5", ARENA_CC, TAKE_CHECKED, TAKE_CHECKED.replace("  sync::LockGuard lock(mutex_);\n", ""), "checked_use.two_take", RACE + WRONG,
           "pending blocks are looked at without the arena's mutex"),
    mutant("covered-is-taken-too", "A5 A1", ARENA_CC, "  return !block.uses.empty() && std::ranges::all_of(block.uses, &BlockUse::checked);\n", "  return !block.uses.empty();\n", "checked_use.covered_beside_the_free", WRONG,
           "a block goes out again that waits for a use by name"),
    mutant("checked-is-not-taken", "A5", SLOW_CC, "      if (Block* block = arena.take_checked(request)) return {.block = block};\n", "", AGAIN, WRONG + ("exception",),
           "what nothing covers is waited for, so that nobody is found who does not"),
    mutant("checked-is-refused", "A5", ALLOCATOR_CC, "                              : protect_ && !host_waits      ? Uncovered::check\n", "", AGAIN, STUCK + ("exception",),
           "a free is refused although its stream may have waited"),
]

LISTING = [
    mutant("listed-without-lock", "M8", ARENA_H, "    sync::LockGuard lock(mutex_);\n    small_.for_each_block(visit);", "    small_.for_each_block(visit);", GROWTH, RACE,
           "blocks are listed without the arena's mutex"),
    mutant("listed-over-holes", "M8", REPORT_CC, "      begun = false;\n      return;\n", "", GROWTH + " " + PLACES, WRONG, "address space without memory is listed as memory"),
    mutant("listed-across-holes", "M8", REPORT_CC, "      begun = false;\n      return;\n", "      return;\n", "listing.around_a_hole", WRONG,
           "what lies before and behind a hole is one segment"),
    mutant("listed-unsent-as-free", "M8 M1", REPORT_CC, "    case BlockState::cached:\n    case BlockState::unsent:", "    case BlockState::cached:", PLACES, WRONG,
           "what a thread freed for another stream and has not handed over counts as free"),
    mutant("listed-without-graphs", "M8", REPORT_CC, "  for_each_graph_arena(add);\n", "", "listing.of_a_graph", WRONG, "the memory of graphs is not listed"),
]

SECTIONS = {
    "Memory that nothing but the program's waits covers": CHECKED,
    "The listing of memory": LISTING,
}
