"""Mutants of private pools, of their checkpoints and of those who are told of segments."""

from mutants import GONE, RACE, WRONG, mutant

POOL_CC = "src/memory/pool.cc"
POOL_H = "src/memory/pool.h"
ARENA_H = "src/memory/arena.h"
RESTORE_CC = "src/memory/restore.cc"
RESTORE_H = "src/memory/restore.h"
SLOW_CC = "src/memory/slow.cc"
ALLOCATOR_H = "src/memory/allocator.h"
LOG_CC = "src/memory/segment_log.cc"
PEAK_H = "src/memory/peak.h"

DROP = """      if (users_.compare_exchange_weak(users, users - 1, std::memory_order_acq_rel,
                                       std::memory_order_relaxed))
        return users;
"""
CLAIM = """    if (block->word.compare_exchange_strong(word, BlockWord::make(BlockState::moving, generation + 1),
                                            std::memory_order_acquire, std::memory_order_relaxed))
      continue;
"""

POOLS = [
    mutant("pool-lends-before-it-is-known", "N1", POOL_H, "    lends_.store(lends, std::memory_order_release);\n", "    lends_.store(lends, std::memory_order_relaxed);\n", "pool.two_say_whether_it_lends", WRONG,
           "who lends memory of a pool does not know it as one that ever lent"),
    mutant("pool-lends-unasked", "N1", ALLOCATOR_H, "if (pool->number() != 0 && pool->lends()) pool", "if (pool->number() != 0) pool", "pool.lends_to_nobody_unasked", WRONG,
           "what is free in any pool is anybody's where there is nothing else"),
    mutant("pool-borrows", "N1", SLOW_CC, "  if (borrower.is_direct())\n", "  if (borrower.is_captured())\n", "pool.lends_and_has_it_back", WRONG, "a pool takes memory out of another one"),
    mutant("pool-arena-made-without-lock", "N1", POOL_CC, "  sync::LockGuard lock(making_);\n", "", "pool.two_allocate_from_one", RACE + WRONG + ("exception",),
           "two threads make the arena of one pool and stream"),
    mutant("pool-arena-made-twice", "N1", POOL_CC, "  sync::LockGuard lock(making_);\n  if (Arena* const arena = target.pool->arena(target.slot)) return *arena;\n",
           "  sync::LockGuard lock(making_);\n", "pool.two_allocate_from_one", WRONG + ("exception",), "who waited to make an arena does not look for the other thread's"),
    mutant("pool-used-is-given-back", "N2", POOL_CC, "if (!pool->dropped || (only", "if ((only", "pool.kept_while_it_has_users", WRONG + ("exception",), "a pool that somebody uses is trimmed"),
    mutant("pool-ends-with-its-users", "N2", POOL_CC, "    if (!pool->ends.empty()) {\n", "    if (false) {\n", "pool.dropped_while_work_runs", WRONG,
           "memory goes back while work runs that was recorded when there were users"),
    mutant("pool-dropped-in-two-steps", "N2", POOL_H, DROP, "      users_.store(users - 1, std::memory_order_relaxed);\n      return users;\n", "pool.two_drop_the_last_users", WRONG + ("exception",),
           "two users go at once, and one of them stays"),
    mutant("pools-released-without-lock", "N2", POOL_CC, "  Released released;\n  sync::LockGuard lock(pools_mutex_);\n", "  Released released;\n", "pool.dropped_beside_a_trim", RACE,
           "pools are released without the mutex of their list"),
    mutant("source-goes-before-its-segments", "N5", POOL_CC, "    if (!empty) continue;\n", "", "pool.source_dropped_beside_a_free", WRONG + ("crash",),
           "a pool is over, and its source gone, while somebody has a block of it"),
    mutant("source-goes-under-the-lock", "N5", POOL_CC, "    std::shared_ptr<SegmentSource> gone;\n    sync::LockGuard lock(pools_mutex_);\n", "    sync::LockGuard lock(pools_mutex_);\n    std::shared_ptr<SegmentSource> gone;\n",
           "pool.source_dropped_beside_a_free", WRONG + ("deadlock", "misuse"), "a source is destroyed while the list of pools is locked"),
    mutant("source-replaced-by-the-next", "N5", POOL_CC, "&& !(sourced && pool->source->has())", "", "pool.source_of_the_next_beside_a_drop", WRONG + ("deadlock", "misuse"),
           "a new pool takes the place of one whose source is still on its way out"),
]

RESTORES = [
    mutant("live-block-is-looked-at", "N3", "src/memory/thread_cache.h", "    counters_.on_allocate(bytes);\n    return bytes;\n", "    counters_.on_allocate(block.size);\n    return bytes;\n", "pool.restored_beside_an_allocation", RACE,
           "who allocates looks at a block that a restore may have freed"),
    mutant("handed-out-too-early", "N3", SLOW_CC, "  void* const memory = give_out(block, requested);\n  cache.hand_out(block);\n  return memory;\n", "  cache.hand_out(block);\n  return give_out(block, requested);\n",
           "pool.restored_beside_an_allocation", RACE, "a block is live before it is known what is asked of it"),
    mutant("freed-before-it-is-taken", "N3 M6", "src/memory/allocator.cc", "  if (!try_take(block, word, next)) return false;\n  block.free_value = covering;\n  count_free(cache, block.kind, block.size,", "  const std::size_t size = block.size;\n  if (!try_take(block, word, next)) return false;\n  block.free_value = covering;\n  count_free(cache, block.kind, size,",
           "pool.restored_beside_a_free", RACE, "who frees looks at a block that a restore may have freed"),
    mutant("restored-without-lock", "N3", ARENA_H, "    sync::LockGuard lock(mutex_);\n    claim_for(restore, protect);\n", "    claim_for(restore, protect);\n",
           "pool.restored_beside_an_allocation pool.restored_beside_a_free", RACE, "an arena is restored without its mutex"),
    mutant("restore-claims-in-two-steps", "N3 M6", RESTORE_CC, CLAIM, "    block->word.store(BlockWord::make(BlockState::moving, generation + 1), std::memory_order_relaxed);\n    continue;\n",
           "pool.restored_beside_a_free", RACE + WRONG + ("exception",), "a block that its owner frees is freed by the restore too"),
    mutant("restore-ignores-uses", "N3 A1", RESTORE_CC, "    if (!over) refuse(use.point.queue);\n", "    static_cast<void>(over);\n", "pool.restored_while_it_is_used", WRONG,
           "a block is freed by a restore while another stream's work uses it"),
    mutant("restore-takes-what-moves", "N3", RESTORE_CC, "      default:\n        if (!overlapped) return;\n", "      default:\n        return;\n        if (!overlapped) return;\n",
           "pool.restored_beside_an_allocation", RACE + WRONG + ("exception", "crash"), "memory that another thread is about to have is allocated to the restore"),
    mutant("restore-keeps-what-it-claimed", "N3", RESTORE_H, "each.block->word.store(each.word, std::memory_order_release);", "static_cast<void>(each);", "pool.restored_in_no_part", WRONG + ("exception",),
           "blocks of a restore that was refused are nobody's"),
]

OBSERVERS = [
    mutant("told-by-two", "N4", LOG_CC, "  if (telling_) return;  // who does comes to these too\n", "", "observer.two_cause_changes", RACE + WRONG, "two threads tell one observer at once"),
    mutant("noted-without-lock", "N4", LOG_CC, "  if (room == nullptr) return;\n  sync::LockGuard lock(mutex_);\n", "  if (room == nullptr) return;\n", "observer.two_cause_changes", RACE + GONE,
           "changes are noted without the log's mutex"),
    mutant("told-no-more", "N4", SLOW_CC, "  const TellAtEnd tell(*this);\n  {\n", "  {\n", "observer.two_cause_changes", WRONG, "an allocation does not tell what it has gained"),
]

SECTIONS = {
    "Private pools": POOLS,
    "Checkpoints of pools": RESTORES,
    "Who is told of segments": OBSERVERS,
}
