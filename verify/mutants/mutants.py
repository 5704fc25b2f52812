"""What is broken in the core, one at a time, and the scenarios that have to notice.

A mutant replaces pieces of one source, each of which must occur exactly once, so that the list can't fall behind the
code unnoticed. `harmless` argues why no scenario can fail, for the few where none does.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    invariants: str   # of docs/concurrency.md, "G1 G2"
    file: str
    changes: tuple    # of (before, after)
    scenarios: tuple  # prefixes of names
    verdicts: tuple   # interleave's; each of them counts
    what: str
    harmless: str = ""


RACE = ("race",)
GONE = ("race", "use after free")   # an access to what somebody else tears down
STUCK = ("deadlock", "livelock", "lost wake-up")
WRONG = ("assertion",)


def mutant(name, invariants, file, before, after, scenarios, verdicts, what, harmless=""):
    """Of one change."""
    if isinstance(scenarios, str):
        scenarios = tuple(scenarios.split())
    return Mutant(name, invariants, file, ((before, after),), scenarios, verdicts, what, harmless)


GATE_H = "src/sync/gate.h"
LIST_H = "src/sync/mpsc_list.h"
REF_H = "src/sync/ref.h"
FENCE_H = "src/sync/asymmetric_fence.h"
LOCK_H = "src/sync/biased_lock.h"
LOCK_CC = "src/sync/biased_lock.cc"

ENTER = """    const std::uint64_t before = word_.fetch_add(kOne, std::memory_order_acquire);
    if ((before & kClosed) == 0) return Pass(this);
    leave();  // Our addition may be what the closer waits for: take it back the slow way.
    return {};
"""

GATE = [
    Mutant("gate-flag-and-counter", "G1", GATE_H, (
        (ENTER, """    word_.fetch_add(kOne, std::memory_order_acq_rel);
    if (!is_closed_.load(std::memory_order_acquire)) return Pass(this);
    leave();
    return {};
"""),
        ("word_.fetch_or(kClosed, std::memory_order_acq_rel);", "is_closed_.store(true, std::memory_order_release);"),
        ("while (word_.load(std::memory_order_acquire) != kClosed)", "while (word_.load(std::memory_order_acquire) != 0)"),
        ("while ((word & kClosed) == 0) {", "while (word == 0) {"),
        ("== (kOne | kClosed)) drained_", "== kOne) drained_"),
        ("atomic<std::uint64_t> word_{0};", "atomic<std::uint64_t> word_{0};\n  atomic<bool> is_closed_{false};"),
    ), ("gate.enter_against_close",), GONE, "the flag and the counter are two words, with acquire and release: store buffering"),
    mutant("gate-counts-after-the-check", "G1", GATE_H, ENTER,
           """    if ((word_.load(std::memory_order_acquire) & kClosed) != 0) return {};
    word_.fetch_add(kOne, std::memory_order_acquire);
    return Pass(this);
""", "gate.enter_against_close", GONE + WRONG, "the counter is raised after the flag was looked at"),
    mutant("gate-closer-does-not-wait", "G1", GATE_H,
           "while (word_.load(std::memory_order_acquire) != kClosed) drained_.wait(lock);", "(void)lock;",
           "gate.enter_against_close", GONE + WRONG, "closing does not wait for those inside"),
    mutant("gate-wait-without-predicate", "G1", GATE_H,
           "while (word_.load(std::memory_order_acquire) != kClosed) drained_.wait(lock);", "drained_.wait(lock);",
           "gate.enter_against_close", STUCK, "the closer waits whether anybody is inside or not"),
    mutant("gate-wait-once", "G1 G3", GATE_H,
           "while (word_.load(std::memory_order_acquire) != kClosed) drained_.wait(lock);",
           "if (word_.load(std::memory_order_acquire) != kClosed) drained_.wait(lock);",
           "gate.woken_for_no_reason", GONE + WRONG, "the closer does not look again after it was woken"),
    mutant("gate-refused-enterer-stays", "G1", GATE_H, ENTER, ENTER.replace("    leave();  // Our addition may be what the closer waits for: take it back the slow way.\n", ""),
           "gate.enter_against_close", STUCK, "whoever is refused leaves its addition in the counter"),
    mutant("gate-leaves-the-quick-way", "G1", GATE_H, "while ((word & kClosed) == 0) {", "for (;;) {",
           "gate.enter_against_close", STUCK, "the last one to leave does not wake the closer"),
    mutant("gate-notifies-without-the-mutex", "G3", GATE_H, "    LockGuard lock(closing_);\n    if (word_.fetch_sub", "    if (word_.fetch_sub",
           "gate.destroyed_once_closed", ("use after free", "race"), "leaving touches the gate after the closer may have returned"),
    mutant("gate-notifies-before-it-leaves", "G1", GATE_H,
           "    LockGuard lock(closing_);\n    if (word_.fetch_sub(kOne, std::memory_order_release) == (kOne | kClosed)) drained_.notify_all();",
           "    { LockGuard lock(closing_); drained_.notify_all(); }\n    word_.fetch_sub(kOne, std::memory_order_release);",
           "gate.enter_against_close", STUCK, "the wake-up comes before the state that is waited for"),
    mutant("gate-wakes-one", "G1", GATE_H, "== (kOne | kClosed)) drained_.notify_all();", "== (kOne | kClosed)) drained_.notify_one();",
           "gate.two_close", STUCK, "only one of two closers is woken"),
    Mutant("gate-exception-skips-the-decrement", "G1", GATE_H, (
        ("#pragma once\n", "#pragma once\n\n#include <exception>\n"),
        ("      if (gate_ != nullptr) gate_->leave();", "      if (gate_ != nullptr && std::uncaught_exceptions() == 0) gate_->leave();"),
    ), ("gate.exception_inside",), STUCK, "whoever leaves by an exception stays in the counter"),
    mutant("gate-leave-relaxed", "G2", GATE_H,
           "word_.compare_exchange_weak(word, word - kOne, std::memory_order_release,",
           "word_.compare_exchange_weak(word, word - kOne, std::memory_order_relaxed,",
           "gate.enter_against_close", RACE, "leaving an open gate releases nothing"),
    Mutant("gate-close-relaxed", "G2", GATE_H, (
        ("word_.fetch_or(kClosed, std::memory_order_acq_rel);", "word_.fetch_or(kClosed, std::memory_order_release);"),
        ("while (word_.load(std::memory_order_acquire) != kClosed)", "while (word_.load(std::memory_order_relaxed) != kClosed)"),
    ), ("gate.enter_against_close",), RACE, "closing acquires nothing of those who left before"),
    mutant("gate-enter-relaxed", "G2", GATE_H, "word_.fetch_add(kOne, std::memory_order_acquire)", "word_.fetch_add(kOne, std::memory_order_relaxed)",
           "gate.refused_sees_why", RACE, "entering acquires nothing: who is refused does not see why"),
    mutant("gate-close-releases-nothing", "G2", GATE_H, "word_.fetch_or(kClosed, std::memory_order_acq_rel);",
           "word_.fetch_or(kClosed, std::memory_order_acquire);",
           "gate.refused_sees_why", RACE, "closing publishes nothing to those who are refused"),
    mutant("gate-close-acquires-late", "G2", GATE_H, "word_.fetch_or(kClosed, std::memory_order_acq_rel);",
           "word_.fetch_or(kClosed, std::memory_order_release);", "gate.", RACE, "the fetch_or in close acquires nothing",
           harmless="The load that ends the wait acquires, too: what it reads is of the release sequences of all who left before, the value of the fetch_or itself included. gate-close-relaxed takes both away."),
    mutant("gate-close-load-relaxed", "G2", GATE_H, "while (word_.load(std::memory_order_acquire) != kClosed)",
           "while (word_.load(std::memory_order_relaxed) != kClosed)", "gate.", RACE, "the load in close acquires nothing",
           harmless="The fetch_or acquires from all who left before it; who leaves after it does so under the mutex that the closer holds when it looks. gate-close-relaxed takes both away."),
    mutant("gate-last-leave-relaxed", "G2", GATE_H, "if (word_.fetch_sub(kOne, std::memory_order_release)",
           "if (word_.fetch_sub(kOne, std::memory_order_relaxed)", "gate.", RACE, "leaving a closing gate releases nothing",
           harmless="It happens under the mutex that the closer holds when it looks, and as a read-modify-write it ends nobody's release sequence."),
]

PUSH = """    do {
      last->next = head;
      // release: pairs with the acquire in take_all (L2). A push in between is carried on by the
      // release sequence, since each push is a read-modify-write.
    } while (!head_.compare_exchange_weak(head, first, std::memory_order_release, std::memory_order_relaxed));
"""

LIST = [
    mutant("list-taken-without-exchange", "L1 A2", LIST_H, "    return head_.exchange(nullptr, std::memory_order_acquire);",
           "    T* const all = head_.load(std::memory_order_acquire);\n    head_.store(nullptr, std::memory_order_relaxed);\n    return all;",
           "mpsc_list.push_against_take", WRONG, "the list is read and then emptied: a push in between is lost"),
    mutant("list-pushed-without-exchange", "L1", LIST_H, PUSH,
           "    last->next = head;\n    head_.store(first, std::memory_order_release);\n",
           "mpsc_list.push_against_take", WRONG, "a push overwrites another one"),
    mutant("list-next-is-stale", "L1", LIST_H, PUSH, "    last->next = head;\n    while (!head_.compare_exchange_weak(head, first, std::memory_order_release, std::memory_order_relaxed)) {\n    }\n",
           "mpsc_list.push_against_take", WRONG, "a push that has to try again keeps the list that was there before"),
    mutant("list-push-relaxed", "L2", LIST_H, "head_.compare_exchange_weak(head, first, std::memory_order_release,",
           "head_.compare_exchange_weak(head, first, std::memory_order_relaxed,", "mpsc_list.push_against_take", RACE, "a push publishes nothing"),
    mutant("list-take-relaxed", "L2", LIST_H, "head_.exchange(nullptr, std::memory_order_acquire)", "head_.exchange(nullptr, std::memory_order_relaxed)",
           "mpsc_list.push_against_take", RACE, "a take acquires nothing"),
]

DROP = "if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;"

REF = [
    mutant("ref-drop-releases-nothing", "R1", REF_H, DROP, DROP.replace("acq_rel", "acquire"), "ref.", GONE, "dropping a reference publishes nothing"),
    mutant("ref-drop-acquires-nothing", "R1", REF_H, DROP, DROP.replace("acq_rel", "release"), "ref.", GONE,
           "who destroys the object has not seen what others did with it"),
    mutant("ref-looks-after-the-drop", "R1", REF_H, DROP,
           "count_.fetch_sub(1, std::memory_order_acq_rel);\n    if (count_.load(std::memory_order_acquire) == 0) delete this;",
           "ref.", ("use after free", "double free", "race"), "the count is read again after it was lowered"),
    mutant("ref-drop-is-no-exchange", "R1", REF_H, DROP,
           "const std::uint32_t now = count_.load(std::memory_order_acquire);\n    if (now == 1) delete this;\n    else count_.store(now - 1, std::memory_order_release);",
           "ref.", ("leak", "race", "use after free", "assertion"), "two drops lower the count once"),
    mutant("ref-add-is-no-exchange", "R1", REF_H, "count_.fetch_add(1, std::memory_order_relaxed);",
           "count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);",
           "ref.shared_on", ("use after free", "double free", "race"), "adding a reference loses another one's drop"),
]

WITHOUT = "biased_lock.owner_against_claim_without_membarrier"
CLAIM = "biased_lock.owner_against_claim"
RETIRE = "biased_lock.owner_against_retire"
RETIRE_WITHOUT = "biased_lock.owner_against_retire_without_membarrier"
TRY_CLAIM = """  if (!claim_.compare_exchange_strong(expected, Claim::taken, std::memory_order_seq_cst,
                                      std::memory_order_relaxed)) {"""
RETIRE_CAS = "while (!claim_.compare_exchange_weak(expected, Claim::retired, std::memory_order_seq_cst,"

LOCK = [
    mutant("fence-of-the-announcer", "F1 X1", FENCE_H, "    sync::compiler_fence(where);\n", "", "asymmetric_fence.announce", WRONG,
           "the announcement may stay behind the load that follows it"),
    mutant("fence-of-the-others", "F1 X1", "src/sync/asymmetric_fence.cc", "if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, where)) return;", "return;",
           "asymmetric_fence.announce", WRONG, "the heavy half fences nothing"),
    mutant("fence-without-membarrier", "F1", FENCE_H, "word.exchange(value, std::memory_order_seq_cst, where)", "word.exchange(value, std::memory_order_acq_rel, where)",
           "asymmetric_fence.without_membarrier", WRONG, "without membarrier: an exchange with acquire and release does not order the load behind it"),
    mutant("lock-does-not-look", "X1", LOCK_H, "if (claim_.load(std::memory_order_seq_cst) == Claim::none) [[likely]]", "if (true)",
           CLAIM, RACE, "the owner does not look whether the lock is claimed"),
    mutant("lock-looks-first", "X1", LOCK_H, """    announce(inside_, true);
    // seq_cst: F1 with the compare-exchange in try_claim and retire. As an acquire it pairs with the release
    // in unclaim (X2).
    if (claim_.load(std::memory_order_seq_cst) == Claim::none) [[likely]]
      return true;
""", """    const bool free = claim_.load(std::memory_order_seq_cst) == Claim::none;
    announce(inside_, true);
    if (free) return true;
""", CLAIM, RACE, "the owner looks before it announces"),
    mutant("lock-load-acquire", "F1 X1", LOCK_H, "if (claim_.load(std::memory_order_seq_cst) == Claim::none) [[likely]]",
           "if (claim_.load(std::memory_order_acquire) == Claim::none) [[likely]]", WITHOUT, RACE,
           "the owner's load is not sequentially consistent"),
    mutant("lock-load-relaxed", "X2", LOCK_H, "if (claim_.load(std::memory_order_seq_cst) == Claim::none) [[likely]]",
           "if (claim_.load(std::memory_order_relaxed) == Claim::none) [[likely]]", CLAIM, RACE, "the owner acquires nothing of the holder before"),
    mutant("lock-slow-load-acquire", "F1 X1", LOCK_CC, "if (claim_.load(std::memory_order_seq_cst) == Claim::none) return true;",
           "if (claim_.load(std::memory_order_acquire) == Claim::none) return true;", "biased_lock.two_claim_without_membarrier", RACE,
           "the waiting owner's load is not sequentially consistent"),
    mutant("lock-slow-does-not-look-again", "X1", LOCK_CC, "if (claim_.load(std::memory_order_seq_cst) == Claim::none) return true;", "return true;",
           "biased_lock.", RACE, "an owner who has waited does not look again"),
    mutant("lock-slow-stays-inside", "X1", LOCK_CC, "    unlock();\n    Claim claim;", "    Claim claim;", RETIRE, STUCK,
           "a waiting owner still counts as inside"),
    mutant("lock-slow-acquire", "X2", LOCK_CC, "while ((claim = claim_.load(std::memory_order_acquire)) == Claim::taken) yield();",
           "while ((claim = claim_.load(std::memory_order_relaxed)) == Claim::taken) yield();", "biased_lock.", RACE,
           "the load that a waiting owner spins on acquires nothing", harmless="It only says that it is time to try again: the load behind the announcement acquires. Of a lock that was retired nothing is read."),
    mutant("lock-retired-is-entered", "X1 X3", LOCK_CC, "if (claim == Claim::retired) return false;", "if (claim == Claim::retired) return true;",
           RETIRE, RACE, "the owner gets a lock that was retired"),
    mutant("lock-unlock-relaxed", "X2", LOCK_H, "inside_.store(false, std::memory_order_release);", "inside_.store(false, std::memory_order_relaxed);",
           CLAIM, RACE, "the owner publishes nothing"),
    mutant("lock-unclaim-relaxed", "X2", LOCK_H, "claim_.store(Claim::none, std::memory_order_release);", "claim_.store(Claim::none, std::memory_order_relaxed);",
           CLAIM, RACE, "the other holder publishes nothing"),
    mutant("lock-claim-without-fence", "F1 X1", LOCK_CC, "  heavy_fence();\n  if (!owner_is_inside()) return true;", "  if (!owner_is_inside()) return true;",
           CLAIM, RACE, "who claims does not fence before it looks"),
    mutant("lock-claim-does-not-look", "X1", LOCK_CC, "if (!owner_is_inside()) return true;", "return true;", CLAIM, RACE,
           "who claims does not look whether the owner is inside"),
    mutant("lock-claim-stays", "X1", LOCK_CC, "  unclaim();\n  return false;", "  return false;", CLAIM, STUCK, "a claim in vain is not taken back"),
    mutant("lock-claim-acquire", "F1 X1", LOCK_CC, TRY_CLAIM, TRY_CLAIM.replace("seq_cst", "acq_rel"), WITHOUT, RACE,
           "the claim is not sequentially consistent"),
    mutant("lock-claim-relaxed", "X2", LOCK_CC, TRY_CLAIM, TRY_CLAIM.replace("seq_cst", "relaxed"), "biased_lock.two_claim_without_membarrier", RACE,
           "who claims acquires nothing of who claimed before"),
    mutant("lock-claim-is-no-exchange", "X1", LOCK_CC, TRY_CLAIM,
           "  if (claim_.load(std::memory_order_seq_cst) != expected) return false;\n  claim_.store(Claim::taken, std::memory_order_seq_cst);\n  if (false) {",
           "biased_lock.two_claim", RACE, "two claim at once"),
    mutant("lock-looks-acquire", "F1 X1", LOCK_H, "return inside_.load(std::memory_order_seq_cst);", "return inside_.load(std::memory_order_acquire);",
           WITHOUT, RACE, "the look for the owner is not sequentially consistent"),
    mutant("lock-looks-relaxed", "X2", LOCK_H, "return inside_.load(std::memory_order_seq_cst);", "return inside_.load(std::memory_order_relaxed);",
           CLAIM, RACE, "who claims acquires nothing of the owner"),
    mutant("lock-retire-without-fence", "F1 X1", LOCK_CC, "  heavy_fence();\n  while (owner_is_inside()) yield();", "  while (owner_is_inside()) yield();",
           RETIRE, RACE, "who retires does not fence before it looks"),
    mutant("lock-retire-does-not-wait", "X1", LOCK_CC, "  while (owner_is_inside()) yield();\n", "", RETIRE, RACE, "who retires does not wait for the owner"),
    mutant("lock-retire-acquire", "F1 X1", LOCK_CC, RETIRE_CAS, RETIRE_CAS.replace("seq_cst", "acq_rel"), RETIRE_WITHOUT, RACE,
           "retiring is not sequentially consistent"),
    mutant("lock-retire-relaxed", "X2", LOCK_CC, RETIRE_CAS, RETIRE_CAS.replace("seq_cst", "relaxed"), "biased_lock.claim_against_retire_by_owner", RACE,
           "who retires acquires nothing of who claimed before"),
    mutant("lock-retired-twice", "X3", LOCK_CC, "if (expected == Claim::retired) return false;", "if (expected == Claim::retired) return true;",
           "biased_lock.two_retire", RACE + WRONG, "both retire it"),
    mutant("lock-retires-what-is-taken", "X1", LOCK_CC, "    expected = Claim::none;\n    yield();", "    yield();", "biased_lock.claim_against_retire", RACE,
           "who retires does not wait for another holder"),
]

LIMIT_H = "src/memory/limit.h"
RESERVE = "  [[nodiscard]] bool try_reserve(std::size_t bytes) {\n"
LOCKED = "    sync::LockGuard lock(mutex_);\n"

LIMIT = [
    mutant("limit-reserve-without-lock", "M2", LIMIT_H, RESERVE + LOCKED, RESERVE, "limit.two_growers", WRONG, "two grow at once past the limit"),
    mutant("limit-give-back-without-lock", "M2", LIMIT_H, "  void give_back(std::size_t bytes) {\n" + LOCKED, "  void give_back(std::size_t bytes) {\n",
           "limit.given_back_while_growing", WRONG, "what is given back meanwhile is lost"),
    mutant("limit-set-without-lock", "M2", LIMIT_H, "  [[nodiscard]] bool try_set(std::size_t limit) {\n" + LOCKED, "  [[nodiscard]] bool try_set(std::size_t limit) {\n",
           "limit.lowered_while_growing", WRONG, "the limit is lowered below what is committed"),
    mutant("limit-share-is-kept", "M2", LIMIT_H, "    if (bytes_ != 0) limit_.give_back(bytes_);\n", "", "limit.share_not_used_up", WRONG,
           "what was reserved and not used is not given back"),
]

MAP_H = "src/memory/page_map.h"
MAP_CC = "src/memory/page_map.cc"
LOOKUP = "page_map.growth_against_lookup"

PAGE_MAP = [
    mutant("map-root-store-relaxed", "P1", MAP_CC, "root_entry.store(leaf, std::memory_order_release);", "root_entry.store(leaf, std::memory_order_relaxed);",
           LOOKUP, GONE, "a leaf is published before it is there"),
    mutant("map-granule-store-relaxed", "P1", MAP_CC, "entry.store(granule, std::memory_order_release);", "entry.store(granule, std::memory_order_relaxed);",
           LOOKUP, GONE, "a granule's entries are published before they are there"),
    mutant("map-root-load-relaxed", "P1", MAP_H, "root_[top].load(std::memory_order_acquire)", "root_[top].load(std::memory_order_relaxed)",
           LOOKUP, GONE, "a look-up acquires no leaf"),
    mutant("map-granule-load-relaxed", "P1", MAP_H, "leaf[number & leaf_mask_].load(std::memory_order_acquire)",
           "leaf[number & leaf_mask_].load(std::memory_order_relaxed)", LOOKUP, GONE, "a look-up acquires no granule"),
    mutant("map-block-store-relaxed", "P1", MAP_CC, "granule->unit_shift).store(&block, std::memory_order_release);",
           "granule->unit_shift).store(&block, std::memory_order_relaxed);", "page_map.new_descriptor", GONE, "a block is published before it is there"),
    mutant("map-block-load-relaxed", "P1", MAP_H, "granule->unit_shift).load(std::memory_order_acquire)",
           "granule->unit_shift).load(std::memory_order_relaxed)", "page_map.new_descriptor", GONE, "a look-up acquires no block"),
    mutant("map-two-add", "P1", MAP_CC, "  sync::LockGuard lock(adding_);\n  for (std::uintptr_t address = base; address < base + bytes; address += granule_bytes)",
           "  for (std::uintptr_t address = base; address < base + bytes; address += granule_bytes)", "page_map.two_add", RACE, "two grow the tree at once"),
    mutant("map-extent-store-relaxed", "M6", MAP_CC, "block.extent.store(block.size, std::memory_order_release);",
           "block.extent.store(block.size, std::memory_order_relaxed);", "page_map.containing_against_reuse", WRONG,
           "a block's new size is seen with its old address and generation"),
    mutant("map-address-store-relaxed", "M6", "src/memory/space.cc", "+ bytes, std::memory_order_release);", "+ bytes, std::memory_order_relaxed);",
           "page_map.containing_against_merge", WRONG, "a descriptor's new address is seen with its old size and generation"),
    mutant("map-heap-address-store-relaxed", "M6", "src/memory/space.cc", "std::memory_order_release);  // release: as in split", "std::memory_order_relaxed);  // release: as in split",
           "page_map.containing_against_a_new_heap", WRONG, "the address of a new heap is seen with its descriptor's old size and generation"),
    mutant("map-address-load-relaxed", "M6", MAP_CC, "block->address.load(std::memory_order_acquire)", "block->address.load(std::memory_order_relaxed)",
           "page_map.containing_against_merge", WRONG, "the word may be read again before the address"),
    mutant("map-extent-load-relaxed", "M6", MAP_CC, "block->extent.load(std::memory_order_acquire)", "block->extent.load(std::memory_order_relaxed)",
           "page_map.containing_against_reuse", WRONG, "the word may be read again before the size"),
    mutant("map-without-second-look", "M6", MAP_CC, "    if (block->word.load(std::memory_order_relaxed) != word) return false;\n", "",
           "page_map.containing_against_reuse", WRONG, "the word is not read again"),
    mutant("map-word-load-relaxed", "M6", MAP_CC, "const std::uint64_t word = block->word.load(std::memory_order_acquire);",
           "const std::uint64_t word = block->word.load(std::memory_order_relaxed);", "page_map.containing", WRONG,
           "a live block's range may be older than its word"),
]

ARENA_CC = "src/memory/arena.cc"
IS_OTHER = "if (BlockWord::state(word) != BlockState::live || BlockWord::generation(word) != generation) return false;"
USES = "arena.use_against_free_and_reuse"

ARENA = [
    mutant("use-without-generation", "A1 M6", ARENA_CC, IS_OTHER, "if (BlockWord::state(word) != BlockState::live) return false;", USES, WRONG,
           "a use of a block that was freed becomes one of its next owner's (ABA)"),
    mutant("use-without-recheck", "A1 M6", ARENA_CC, IS_OTHER, "", USES, WRONG, "the block is not looked at again under the mutex"),
    mutant("use-without-lock", "A1", ARENA_CC, "  sync::LockGuard lock(mutex_);\n  // Checked again", "  // Checked again", USES, RACE, "a use is added without the arena's mutex"),
    mutant("free-keeps-the-generation", "M6", ARENA_CC, "BlockWord::make(BlockState::moving, generation + 1)", "BlockWord::make(BlockState::moving, generation)",
           USES, WRONG, "freeing does not raise the generation"),
    mutant("free-twice", "M6", ARENA_CC, "  if (!is_meant()) return false;\n  if (uncovered", "  if (uncovered", "arena.two_frees_of_a_used_block", WRONG + STUCK,
           "the second of two frees is not refused"),
    mutant("free-without-lock", "M6", ARENA_CC, "                      CoverList* to_cover, FreedBlock* freed) {\n  sync::LockGuard lock(mutex_);\n",
           "                      CoverList* to_cover, FreedBlock* freed) {\n", "arena.", RACE, "a used block is freed without the arena's mutex"),
    mutant("use-is-forgotten", "A1", ARENA_CC, "  if (all_reached(block)) {\n    retire_uses(block);\n  } else {", "  if (true) {\n    retire_uses(block);\n  } else {",
           USES, WRONG, "a block is free although another stream may use it"),
    mutant("give-without-lock", "M1", ARENA_CC, "void Arena::give(Block& block) {\n  sync::LockGuard lock(mutex_);\n", "void Arena::give(Block& block) {\n",
           "arena.trim_against_give", RACE, "a block is taken back without the arena's mutex"),
    mutant("trim-without-lock", "M1", ARENA_CC, "std::size_t Arena::release_empty() {\n  sync::LockGuard lock(mutex_);\n", "std::size_t Arena::release_empty() {\n",
           "arena.trim_against_give", RACE, "memory is given back without the arena's mutex"),
    mutant("remote-before-it-is-taken", "A2", ARENA_CC, "    block->set_state(BlockState::remote);\n  remote_.push_chain(blocks.first, blocks.last);",
           "    static_cast<void>(block);\n  remote_.push_chain(blocks.first, blocks.last);\n  for (Block* block = blocks.first; block != nullptr; block = block->next)\n    block->set_state(BlockState::remote);",
           "arena.", RACE + WRONG, "a block's state is set after it was handed over"),
    mutant("remote-not-before-growth", "A2", ARENA_CC, "void Arena::refill(const BlockRequest& request, int count, BlockList& out) {\n  sync::LockGuard lock(mutex_);\n  take_in_remote();\n",
           "void Arena::refill(const BlockRequest& request, int count, BlockList& out) {\n  sync::LockGuard lock(mutex_);\n", "arena.remote_before_growth", WRONG,
           "what was freed elsewhere is not taken in before the arena grows"),
    mutant("add-use-acquire", "A1", ARENA_CC, "word | BlockWord::kHasUses, std::memory_order_acq_rel,", "word | BlockWord::kHasUses, std::memory_order_relaxed,",
           "arena.", RACE, "marking a used block orders nothing", harmless="The caller's look-up has acquired the word of this generation, and whoever marks or frees a block with uses holds the arena's mutex."),
    mutant("add-use-load-relaxed", "A1", ARENA_CC, """  // acquire: pairs with the release that made the block live.
  std::uint64_t word = block.word.load(std::memory_order_acquire);
  do {""", "  std::uint64_t word = block.word.load(std::memory_order_relaxed);\n  do {", "arena.", RACE, "adding a use acquires nothing", harmless="As add-use-acquire."),
    mutant("free-used-load-relaxed", "A1", ARENA_CC, """  std::uint64_t word = block.word.load(std::memory_order_acquire);
  const auto is_meant""", "  std::uint64_t word = block.word.load(std::memory_order_relaxed);\n  const auto is_meant", "arena.", RACE, "freeing a used block acquires nothing by the load", harmless="As add-use-acquire."),
    mutant("free-used-exchange-relaxed", "A1", ARENA_CC, "std::memory_order_acquire, std::memory_order_acquire)) {\n    if (!is_meant())",
           "std::memory_order_relaxed, std::memory_order_acquire)) {\n    if (!is_meant())", "arena.", RACE, "freeing a used block acquires nothing by the exchange", harmless="As add-use-acquire."),
]

COUNTERS_H = "src/memory/counters.h"
REPORT_CC = "src/memory/report.cc"
SUMS = "counters.never_negative"

ACCOUNTING = [
    mutant("counters-add-relaxed", "M4", "src/sync/atomic.h", "amount, std::memory_order_release, where);",
           "amount, std::memory_order_relaxed, where);", SUMS, WRONG, "a free is counted before the allocation that it follows"),
    mutant("counters-freed-relaxed", "M4", COUNTERS_H, "+= freed_bytes_.load(std::memory_order_acquire)", "+= freed_bytes_.load(std::memory_order_relaxed)",
           SUMS, WRONG, "who has seen a free need not see its allocation"),
    mutant("counters-frees-relaxed", "M4", COUNTERS_H, "+= frees_.load(std::memory_order_acquire)", "+= frees_.load(std::memory_order_relaxed)",
           SUMS, WRONG, "the same of their number"),
    mutant("counters-allocated-relaxed", "M4", COUNTERS_H, "+= allocated_bytes_.load(std::memory_order_acquire)", "+= allocated_bytes_.load(std::memory_order_relaxed)",
           SUMS, WRONG, "reading allocated bytes acquires nothing", harmless="Allocations are read last, so nothing has to be seen after them."),
    mutant("counters-allocations-relaxed", "M4", COUNTERS_H, "totals.allocations += allocations_.load(std::memory_order_acquire)",
           "totals.allocations += allocations_.load(std::memory_order_relaxed)", SUMS, WRONG, "reading allocations acquires nothing", harmless="As counters-allocated-relaxed."),
    mutant("sums-allocations-first", "M4", REPORT_CC,
           """    for (Context* context : contexts) cache_of(*context).counters().add_freed_to(sum);
    {
      sync::LockGuard lock(totals_mutex_);
      sum += retired_totals_;
    }
    for (Context* context : contexts) cache_of(*context).counters().add_allocated_to(sum);
""", """    for (Context* context : contexts) cache_of(*context).counters().add_allocated_to(sum);
    {
      sync::LockGuard lock(totals_mutex_);
      sum += retired_totals_;
    }
    for (Context* context : contexts) cache_of(*context).counters().add_freed_to(sum);
""", "accounting.sums_beside_changes", WRONG, "allocations are summed before frees"),
    mutant("sums-retired-outside", "D2", REPORT_CC, """    {
      sync::LockGuard lock(totals_mutex_);
      sum += retired_totals_;
    }
    for (Context* context : contexts) cache_of(*context).counters().add_allocated_to(sum);
  });
""", """    for (Context* context : contexts) cache_of(*context).counters().add_allocated_to(sum);
  });
  sync::LockGuard lock(totals_mutex_);
  sum += retired_totals_;
""", "accounting.sums_beside_changes", WRONG, "a context that ends meanwhile is counted twice"),
    mutant("fold-twice", "D2", "src/device/core.cc", "  context.fold_parts();\n  contexts_.erase(found);", "  context.fold_parts();\n  context.fold_parts();\n  contexts_.erase(found);",
           "accounting.sums_beside_changes", WRONG, "an ending context's counters are folded twice"),
    mutant("fold-without-lock", "D2", "src/memory/thread_cache.cc", "void ThreadCache::fold() noexcept {\n  sync::LockGuard lock(shared_.totals_mutex);\n",
           "void ThreadCache::fold() noexcept {\n", "accounting.sums_beside_changes", RACE, "totals are folded without their mutex", harmless="Contexts are folded, and totals read, with the list of contexts locked, too. The mutex is what the analysis of locks can follow, and is taken once a thread."),
    mutant("peak-without-lock", "M1", "src/memory/peak.h", "    sync::LockGuard lock(mutex_);\n    peak_.widen(now_ + high);", "    peak_.widen(now_ + high);",
           "counters.peak_of_two", RACE, "two threads publish what is live at once"),
]

CORE_CC = "src/device/core.cc"
ALLOCATOR_CC = "src/memory/allocator.cc"
CACHE_CC = "src/memory/thread_cache.cc"
CACHE_H = "src/memory/thread_cache.h"
FREE_CLOSE = "cache.free_against_close"
ALLOCATE_CLOSE = "cache.allocate_against_close"
EXIT_CLOSE = "cache.thread_exit_against_close"

CACHES = [
    mutant("free-does-not-look-for-the-close", "D1 X1", ALLOCATOR_CC, "  if (!hold) return;  // closed: the memory is gone, and so is the need to free it\n", "",
           FREE_CLOSE, GONE + WRONG, "a free goes on in a device that has closed"),
    mutant("allocate-does-not-look-for-the-close", "D1 X1", ALLOCATOR_CC,
           "    Context::Hold hold = context.hold();\n    if (!hold) core_.throw_closed(allocate_call());\n    if (slot ==",
           "    Context::Hold hold = context.hold();\n    if (slot ==", ALLOCATE_CLOSE, GONE + WRONG, "an allocation goes on in a device that has closed"),
    mutant("close-tears-down-first", "D1", CORE_CC, """    retire_contexts();
    for (std::size_t i = kLayerCount; i-- > 0;) layers_[i]->finish_close();
""", """    for (std::size_t i = kLayerCount; i-- > 0;) layers_[i]->finish_close();
    retire_contexts();
""", FREE_CLOSE, GONE + WRONG, "the layers are torn down before the contexts are retired"),
    mutant("close-does-not-retire", "D1 X3", CORE_CC, "    retire_contexts();\n    for (std", "    for (std", FREE_CLOSE, GONE + WRONG,
           "contexts can be held in a device that has closed"),
    mutant("close-does-not-wait-for-exits", "D1 D2 X3", CORE_CC, "  while (!contexts_.empty()) contexts_gone_.wait(lock);\n", "", EXIT_CLOSE, GONE + WRONG,
           "closing does not wait for threads that are about to end"),
    mutant("exit-does-not-notify", "D1", CORE_CC, "  if (contexts_.empty()) contexts_gone_.notify_all();\n", "", EXIT_CLOSE, STUCK,
           "the last context to go does not wake who closes"),
    mutant("exit-notifies-first", "D1", CORE_CC, "  contexts_.erase(found);\n  if (contexts_.empty()) contexts_gone_.notify_all();",
           "  contexts_gone_.notify_all();\n  contexts_.erase(found);", EXIT_CLOSE, STUCK, "who closes is woken before the context has gone",
           harmless="Both happen under the mutex that the closer waits with."),
    mutant("taken-without-exchange", "M6 T2", ALLOCATOR_CC, """  return block.word.compare_exchange_strong(word, BlockWord::make(next, BlockWord::generation(word) + 1),
                                            std::memory_order_acquire, std::memory_order_relaxed);""",
           """  if (block.word.load(std::memory_order_acquire) != word) return false;
  block.word.store(BlockWord::make(next, BlockWord::generation(word) + 1), std::memory_order_relaxed);
  return true;""", "cache.two_free_one_block", RACE + WRONG + ("exception",), "two frees of one block both take it"),
    mutant("flush-keeps-the-unsent", "T1 M1", CACHE_CC, "  for (Unsent& unsent : unsent_) send_all(unsent);\n", "", "cache.flush_of_unsent", WRONG,
           "a flush leaves what was freed for other arenas"),
    mutant("flush-keeps-the-parked", "T1 M1", CACHE_CC, "  for (std::uint8_t size_class = 0; size_class < SizeClass::kCount; ++size_class) unpark(cache, size_class);\n", "", "cache.two_park", WRONG,
           "a flush leaves the blocks that wait for work to be submitted"),
    mutant("flush-is-not-counted", "M1", CACHE_CC, "  cached_.subtract(back.bytes);\n  cache.arena->give(back);\n  return true;",
           "  cache.arena->give(back);\n  return true;", "cache.overflow_against_trim", WRONG + ("exception",), "what was flushed still counts as cached"),
    mutant("flush-keeps-the-magazines", "T2", CACHE_CC, "  for (ArenaCache::Magazine& magazine : cache.magazines) {\n    while (Block* block = magazine.first) {\n      magazine.first = block->next;",
           "  for (const ArenaCache::Magazine& from : cache.magazines) {\n    ArenaCache::Magazine magazine = from;\n    while (Block* block = magazine.first) {\n      magazine.first = block->next;",
           "cache.flush_of_magazines", WRONG, "what was flushed is still in the cache"),
    mutant("flush-keeps-its-portion", "T1", CACHE_CC, "  shared_.budget.give_back(portion_);\n", "", "cache.flush_of_magazines", WRONG,
           "a flush does not give its part of the budget back"),
    mutant("overflow-is-not-counted", "M1", CACHE_CC, "  cached_.subtract(taken);\n  cache.arena->give(back);", "  cache.arena->give(back);",
           "cache.overflow_against_trim", WRONG + ("exception",), "what a full magazine gave back still counts as cached"),
    mutant("trim-takes-what-is-held", "X1", "src/device/core.h", "      if (const Context::Hold hold = context->try_steal()) {\n        visit(*context);\n      } else {",
           "      if (true) {\n        visit(*context);\n      } else {", "cache.flush_against_owner", RACE, "a cache is flushed while its thread uses it"),
]

SLOW_CC = "src/memory/slow.cc"

OUT_OF_MEMORY = [
    mutant("reclaim-flushes-nobody", "O1", SLOW_CC, "  result.skipped_a_cache = !flush_caches(&context);\n", "", "out_of_memory.cached_by_another", WRONG,
           "out of memory, other threads' caches are left full"),
    mutant("reclaim-looks-ahead-late", "O1", SLOW_CC, "  look_ahead();\n  for_each_arena", "  for_each_arena", "out_of_memory.used_until_completed", WRONG,
           "work that ends between the tries and the look ahead is seen by neither: a false out of memory"),
    mutant("reclaim-waits-for-nothing", "O1", SLOW_CC, "  if (!request.large && (result.memory = borrow(context, arena, request)) != nullptr) return result;\n  look_ahead();",
           "  if (!request.large && (result.memory = borrow(context, arena, request)) != nullptr) return result;\n  result.next.reset();", "out_of_memory.used_until_completed", WRONG + ("exception",),
           "out of memory, nobody waits for work that is going to end"),
    mutant("reclaim-keeps-empty-heaps", "O1 M2", SLOW_CC, "  release_empty();\n  if (try_again(false)) return result;", "  if (try_again(false)) return result;",
           "out_of_memory.cached_by_another", WRONG, "out of memory, other arenas keep what is empty"),
    mutant("reclaim-waits-for-who-is-at-work", "X4 O1", "src/device/core.h", """      if (const Context::Hold hold = context->try_steal()) {
        visit(*context);
      } else {
        all = false;
      }
""", """      for (bool visited = false; !visited;) {
        if (const Context::Hold hold = context->try_steal()) {
          visit(*context);
          visited = true;
        } else {
          sync::yield();
        }
      }
""", "out_of_memory.cached_by_who_exits", STUCK, "out of memory, a context is waited for with the list locked, which its ending thread needs before it lets go"),
]

STATE_CC = "src/stream/stream_state.cc"
ADDED = "handlers.added_against_commit"
REACHED = "timeline.what_is_reached"

STREAMS = [
    mutant("handler-after-commit", "H1 B2", STATE_CC, """  BufferState& buffer = recording(generation, call);
  add_to(kind == HandlerKind::scheduled ? buffer.scheduled_""", """  check_usable(generation, call);
  BufferState& buffer = current_ || !last_committed_ ? recording(generation, call) : *last_committed_;
  add_to(kind == HandlerKind::scheduled ? buffer.scheduled_""", ADDED, RACE + WRONG + ("leak",),
           "a handler is added to the buffer that was just committed (verify/story.py)"),
    mutant("handler-between-two-locks", "H1 B2", STATE_CC, """  BufferState& buffer = recording(generation, call);
  add_to(kind == HandlerKind::scheduled ? buffer.scheduled_ : buffer.completed_, buffer, std::move(handler));""",
           """  const sync::Ref<BufferState> buffer = sync::Ref<BufferState>::share(&recording(generation, call));
  mutex_.unlock();
  mutex_.lock();
  add_to(kind == HandlerKind::scheduled ? buffer->scheduled_ : buffer->completed_, *buffer, std::move(handler));""",
           ADDED, RACE + WRONG + ("leak",), "a handler is added to a buffer that was committed meanwhile"),
    mutant("handlers-stop-early", "H1", "src/stream/dispatch.cc", "    while (jobs_.empty() && !stopping_) work_.wait(lock);\n    if (jobs_.empty()) return;",
           "    while (jobs_.empty() && !stopping_) work_.wait(lock);\n    if (stopping_) return;", ADDED, WRONG + ("leak",),
           "the dispatcher ends with handlers left"),
    mutant("handlers-wait-without-predicate", "H1", "src/stream/dispatch.cc", "    while (jobs_.empty() && !stopping_) work_.wait(lock);",
           "    work_.wait(lock);", ADDED, STUCK, "the dispatcher sleeps although there is a handler to run"),
    mutant("handlers-notify-first", "H1", "src/stream/dispatch.cc", "  sync::LockGuard lock(mutex_);\n  jobs_.push_back(&job);\n  ++pushed_;\n  work_.notify_one();",
           "  work_.notify_one();\n  sync::LockGuard lock(mutex_);\n  jobs_.push_back(&job);\n  ++pushed_;", "handlers.synchronized", STUCK,
           "the dispatcher is woken before there is a job"),
    mutant("handlers-without-lock", "H1 H3", "src/stream/dispatch.cc", "  sync::LockGuard lock(mutex_);\n  jobs_.push_back(&job);", "  jobs_.push_back(&job);",
           ADDED, RACE, "jobs are handed over without the dispatcher's mutex"),
    mutant("commit-without-lock", "B2 S7", STATE_CC, "StreamState::Commit StreamState::commit(std::uint32_t generation, bool may_queue, const char* call) {\n  sync::LockGuard lock(mutex_);\n",
           "StreamState::Commit StreamState::commit(std::uint32_t generation, bool may_queue, const char* call) {\n", ADDED, RACE + WRONG,
           "a commit does not take the stream's mutex"),
    mutant("close-before-the-streams-are-empty", "D1 H1", "src/stream/pool.cc",
           "    for (const auto& stream : streams_) static_cast<void>(stream->wait_until_empty(std::nullopt));\n    dispatcher_.stop();",
           "    dispatcher_.stop();", "handlers.completion_against_close", WRONG + GONE + ("leak",), "closing does not wait for what was committed"),
    mutant("completed-is-not-told", "S1", "src/stream/progress.cc", "  finished.push_back(&segment);\n  changed_.notify_all();", "  finished.push_back(&segment);",
           "timeline.waited_for_within_a_buffer", STUCK, "who waits for a value within a buffer is not woken when it is reached"),
    mutant("wait-does-not-look-again", "S1", "src/stream/progress.cc", "  while (!done()) {\n    if (!deadline) {", "  for (bool first = true; first; first = false) {\n    if (!deadline) {",
           "timeline.waited_for", STUCK, "a wait sleeps without looking whether its value was reached meanwhile"),
    mutant("completed-store-relaxed", "S2", "src/stream/timeline.h", "completed_.store(value, std::memory_order_release);", "completed_.store(value, std::memory_order_relaxed);",
           REACHED, RACE, "a value is reached before what led to it is seen"),
    mutant("completed-load-relaxed", "S2", "src/stream/timeline.h", "return completed_.load(std::memory_order_acquire);", "return completed_.load(std::memory_order_relaxed);",
           REACHED, RACE, "who sees that a value was reached has not seen what led to it"),
    mutant("final-after-reached", "B3", "src/stream/progress.cc", """  set_final_statuses(segment.value());  // before set_completed: B3
  timeline_.set_completed(segment.value());
""", """  timeline_.set_completed(segment.value());
  set_final_statuses(segment.value());
""", REACHED, WRONG, "a buffer's last value is reached before its status is final"),
    mutant("failure-after-reached", "S4", "src/stream/progress.cc", """  if (!status.ok()) {
    failures_.add(segment.value(), buffer.sequence(), status);  // before set_completed: S4
""", """  timeline_.set_completed(segment.value());
  if (!status.ok()) {
    failures_.add(segment.value(), buffer.sequence(), status);
""", "timeline.what_has_failed", WRONG, "a value is reached before its failure is in the log"),
]

SLOT_H = "src/event/slot.h"
MARKED = "event_slot.marked_against_asked"
LOCKED_MARK = """  std::uint64_t marked(TimelinePoint point) noexcept override EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
"""

EVENTS = [
    mutant("event-in-two-steps", "V1", SLOT_H, "    // release: pairs with the acquire in point. Under the mutex, so that the word is the newest marking's.\n",
           "    word_.store(static_cast<std::uint64_t>(point.queue) << kValueBits | (word_.load(std::memory_order_relaxed) & kValueMask), std::memory_order_release);\n",
           MARKED, WRONG, "the stream that is marked and the value are written one after the other"),
    mutant("event-published-first", "V1", SLOT_H, "point.value,\n                std::memory_order_release);", "point.value,\n                std::memory_order_relaxed);",
           MARKED, RACE, "an event is seen before the work that it marks was recorded"),
    mutant("event-asked-relaxed", "V1", SLOT_H, "const std::uint64_t word = word_.load(std::memory_order_acquire);", "const std::uint64_t word = word_.load(std::memory_order_relaxed);",
           MARKED, RACE, "who sees what is marked has not seen it recorded"),
    mutant("event-marked-without-lock", "V1 V2", SLOT_H, LOCKED_MARK, LOCKED_MARK.replace("    sync::LockGuard lock(mutex_);\n", ""),
           "event_slot.marked_twice", RACE, "two records of one event at once"),
    mutant("event-takes-old-reports", "V2", SLOT_H, "    if (marking != markings_) return;\n", "", "event_slot.old_report", WRONG,
           "the time of an older marking is taken for the newest's"),
    mutant("event-keeps-an-old-native", "V6", SLOT_H, "if (marking != markings_ || (native_marking_", "if ((native_marking_",
           "event_slot.native_against_record", WRONG, "the driver's event of an older marking is kept for the newest"),
    mutant("event-forgets-a-native", "V6", SLOT_H, "    std::swap(native_, native);\n", "    native_ = std::exchange(native, {});\n",
           "event_slot.native_replaced", WRONG, "the driver's event that another one replaces is not returned"),
]

# Here, since they are made of what is above.
import completion_mutants
import lifecycle_mutants
import memory_mutants
import no_memory_mutants
import pool_mutants
import stream_mutants
import thread_mutants

SECTIONS = {
    "The gate": GATE,
    "The list of many producers": LIST,
    "References": REF,
    "The biased lock and its fences": LOCK,
    "The limit": LIMIT,
    "The page map": PAGE_MAP,
    "Arenas": ARENA,
    "Accounting": ACCOUNTING,
    "Thread caches and the close": CACHES,
    "Out of memory": OUT_OF_MEMORY,
    "Streams and handlers": STREAMS,
    "Events": EVENTS,
    **stream_mutants.SECTIONS,
    **lifecycle_mutants.SECTIONS,
    **memory_mutants.SECTIONS,
    **pool_mutants.SECTIONS,
    **completion_mutants.SECTIONS,
    **no_memory_mutants.SECTIONS,
    **thread_mutants.SECTIONS,
}
MUTANTS = sum(SECTIONS.values(), [])
