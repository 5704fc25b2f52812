"""Mutants of how devices open and close, threads come and go, and processes fork; and of memory beside them."""

from mutants import GONE, RACE, STUCK, WRONG, mutant

CORE_CC = "src/device/core.cc"
CONTEXT_H = "src/device/context.h"
CONTEXTS_CC = "src/device/thread_contexts.cc"
FORK_CC = "src/device/fork.cc"
POOL_CC = "src/stream/pool.cc"
REGISTRY_CC = "src/device/registry.cc"

TWO_CLOSE = "close.two_close"
LAST_HANDLE = "close.last_handle"
USE_EXIT = "lifecycle.use_and_exit_against_close"
TWO_END = "lifecycle.two_threads_end"
DROP = "if (handles_.fetch_sub(1, std::memory_order_acq_rel) == 1) {"
LOCKED_LIST = "  sync::LockGuard lock(contexts_mutex_);\n"
SET_PARTS = """  for (std::size_t i = 0; i < kLayerCount; ++i) {
    const auto layer = static_cast<LayerId>(i);
    context->set_part(layer, core.layer(layer).make_part(*context));
  }
  contexts.entries_.reserve(contexts.entries_.size() + 1);  // so that nothing throws once it is attached
  core.attach(*context);
"""

CLOSE = [
    mutant("handle-dropped-relaxed", "D1 R1", CORE_CC, DROP, DROP.replace("acq_rel", "relaxed"), LAST_HANDLE, RACE,
           "who closes with the last handle has not seen what other handles' owners did"),
    mutant("handle-dropped-acquire", "D1 R1", CORE_CC, DROP, DROP.replace("acq_rel", "acquire"), LAST_HANDLE, RACE, "dropping a handle publishes nothing"),
    mutant("handle-dropped-release", "D1 R1", CORE_CC, DROP, DROP.replace("acq_rel", "release"), LAST_HANDLE, RACE, "dropping the last handle acquires nothing"),
    mutant("handle-dropped-in-two-steps", "D1", CORE_CC, DROP, "handles_.fetch_sub(1, std::memory_order_acq_rel);\n  if (handles_.load(std::memory_order_acquire) == 0) {",
           "close.last_handle", WRONG, "the count of handles is read after it was lowered",
           harmless="Then both who drop the last two may close, which is allowed: the second one waits for the first. The count is compared in one step to spare it that."),
    mutant("handle-added-to-none", "D1", CORE_CC, "  while (count != 0) {\n    if (handles_", "  for (;;) {\n    if (handles_", LAST_HANDLE, WRONG, "a handle is added to a device whose last one has gone"),
    mutant("close-does-not-wait-for-the-other", "D1", CORE_CC, "      while (state_.load(std::memory_order_relaxed) != State::closed) closed_.wait(lock);\n      return;", "      return;",
           TWO_CLOSE, WRONG + RACE, "who closes a closing device returns before it has closed"),
    mutant("close-waits-without-predicate", "D1", CORE_CC, "      while (state_.load(std::memory_order_relaxed) != State::closed) closed_.wait(lock);", "      closed_.wait(lock);",
           TWO_CLOSE, STUCK, "who closes a closed device waits to be woken"),
    mutant("close-tells-nobody", "D1", CORE_CC, "  closed_.notify_all();\n", "", TWO_CLOSE, STUCK, "who waits for the other one to close is not woken"),
    mutant("close-tells-first", "D1", CORE_CC, "  sync::LockGuard lock(closing_mutex_);\n  // release: pairs with is_open.\n  state_.store(State::closed, std::memory_order_release);\n  closed_.notify_all();",
           "  closed_.notify_all();\n  sync::LockGuard lock(closing_mutex_);\n  state_.store(State::closed, std::memory_order_release);", TWO_CLOSE, STUCK,
           "who waits for the other one to close is woken before it has"),
    mutant("close-closed-before-it-is", "D1", CORE_CC, "  backend_->stop();\n  if (mode", "  {\n    sync::LockGuard early(closing_mutex_);\n    state_.store(State::closed, std::memory_order_release);\n    closed_.notify_all();\n  }\n  backend_->stop();\n  if (mode",
           TWO_CLOSE, WRONG + RACE, "a device counts as closed before its backend has stopped"),
    mutant("close-by-two", "D1", CORE_CC, "    if (state_.load(std::memory_order_relaxed) != State::open) {\n      // At exit", "    if (state_.load(std::memory_order_relaxed) == State::closed) {\n      // At exit",
           TWO_CLOSE, RACE + WRONG + ("misuse", "exception", "crash"), "two threads close one device"),
    mutant("close-open-until-torn-down", "D1", CORE_CC, "    // release: pairs with is_open.\n    state_.store(State::closing, std::memory_order_release);\n  }\n  Registry::get().forget(*this);\n  gate_.close_and_wait();\n  for (auto& layer : layers_) layer->begin_close(mode);\n",
           "    state_.store(State::closing, std::memory_order_release);\n  }\n  Registry::get().forget(*this);\n  for (auto& layer : layers_) layer->begin_close(mode);\n  gate_.close_and_wait();\n",
           "handler.added_against_close", WRONG + RACE + STUCK + ("crash", "leak", "misuse"), "the gate is closed after the layers were torn down (alive cleared after tear-down)"),
    mutant("close-leaves-the-gate-open", "D1", CORE_CC, "  gate_.close_and_wait();\n", "", USE_EXIT, GONE + WRONG + STUCK + ("crash",), "the gate of a closing device stays open"),
    mutant("close-stays-open-to-the-eye", "D1", CORE_CC, "    state_.store(State::closing, std::memory_order_release);\n  }\n  Registry", "    state_.store(State::closing, std::memory_order_release);\n  }\n  state_.store(State::open, std::memory_order_release);\n  Registry",
           TWO_CLOSE, RACE + WRONG + ("misuse", "exception", "crash"), "a closing device counts as open until it has closed"),
    mutant("open-load-relaxed", "D1", CORE_CC, "state_.load(std::memory_order_acquire) == State::open", "state_.load(std::memory_order_relaxed) == State::open",
           "close.", RACE + WRONG, "who sees that a device is not open acquires nothing",
           harmless="It is so from the begin of the close on, so nothing can be read on the strength of it; who needs it torn down calls close, which the mutex orders."),
    mutant("closing-store-relaxed", "D1", CORE_CC, "state_.store(State::closing, std::memory_order_release);", "state_.store(State::closing, std::memory_order_relaxed);",
           "close.", RACE + WRONG, "that a device closes publishes nothing", harmless="As open-load-relaxed."),
    mutant("closed-store-relaxed", "D1", CORE_CC, "state_.store(State::closed, std::memory_order_release);", "state_.store(State::closed, std::memory_order_relaxed);",
           "close.", RACE + WRONG, "that a device has closed publishes nothing", harmless="As open-load-relaxed. Who waits for it does so under the mutex."),
]

THREADS = [
    mutant("context-listed-before-it-is-whole", "D2", CONTEXTS_CC, SET_PARTS, """  contexts.entries_.reserve(contexts.entries_.size() + 1);
  core.attach(*context);
  for (std::size_t i = 0; i < kLayerCount; ++i) {
    const auto layer = static_cast<LayerId>(i);
    context->set_part(layer, core.layer(layer).make_part(*context));
  }
""", USE_EXIT, GONE + ("crash",), "a thread's context is in the list before its parts are there (alive set before set-up)"),
    mutant("context-attached-past-the-close", "D1 D2", CORE_CC, "  const sync::Gate::Pass pass = enter(\"using the device from a new thread\");\n" + LOCKED_LIST, LOCKED_LIST, USE_EXIT,
           GONE + WRONG + STUCK + ("crash",), "a thread's context is attached to a device that has closed"),
    mutant("context-attached-without-lock", "D2", CORE_CC, LOCKED_LIST + "  contexts_.push_back(&context);", "  contexts_.push_back(&context);", "lifecycle.two_threads_begin", RACE,
           "two contexts are listed without the list's mutex"),
    mutant("context-detached-without-lock", "D2", CORE_CC, LOCKED_LIST + "  const auto found", "  const auto found", TWO_END, RACE, "two contexts leave the list without its mutex"),
    mutant("context-not-folded", "D2", CORE_CC, "  context.fold_parts();\n  contexts_.erase(found);", "  contexts_.erase(found);", TWO_END, WRONG, "what an ending thread has counted is lost"),
    mutant("context-folded-after-it-left", "D2", CORE_CC, LOCKED_LIST + "  const auto found = std::find(contexts_.begin(), contexts_.end(), &context);\n  if (found == contexts_.end()) return;  // the closing device has retired it\n  context.fold_parts();\n  contexts_.erase(found);\n  if (contexts_.empty()) contexts_gone_.notify_all();\n",
           "  {\n    sync::LockGuard lock(contexts_mutex_);\n    const auto found = std::find(contexts_.begin(), contexts_.end(), &context);\n    if (found == contexts_.end()) return;\n    contexts_.erase(found);\n    if (contexts_.empty()) contexts_gone_.notify_all();\n  }\n  context.fold_parts();\n",
           "accounting.sums_beside_changes", WRONG + RACE, "an ending context leaves the list before it is folded"),
    mutant("exit-retires-without-asking", "X3", CONTEXTS_CC, "    if (context.try_retire_own()) context.retire_parts();", "    static_cast<void>(context.try_retire_own());\n    context.retire_parts();", USE_EXIT,
           GONE + WRONG + ("crash",), "an ending thread gives back what the closing device gives back"),
    mutant("exit-gives-back-first", "X1 X3", CONTEXTS_CC, "    if (context.try_retire_own()) context.retire_parts();", "    context.retire_parts();\n    static_cast<void>(context.try_retire_own());", USE_EXIT,
           GONE + WRONG + ("crash",), "an ending thread gives back before it has its context for good"),
    mutant("exit-gives-nothing-back", "T1 X3", CONTEXTS_CC, "    if (context.try_retire_own()) context.retire_parts();", "    static_cast<void>(context.try_retire_own());", "lifecycle.memory_of_who_exits",
           WRONG + ("exception",), "an ending thread keeps what it has cached"),
    mutant("exit-does-not-detach", "D2", CONTEXTS_CC, "    context.core().detach(context);\n    delete &context;", "    delete &context;", USE_EXIT, GONE + STUCK + ("crash",), "an ending thread leaves its context in the list"),
    mutant("exit-keeps-its-contexts", "D2", CONTEXTS_CC, "    delete &context;\n", "", "lifecycle.memory_of_who_exits", ("leak",), "an ending thread's contexts stay behind"),
    mutant("exit-keeps-its-list", "D2", CONTEXTS_CC, "  delete contexts;\n", "", "lifecycle.memory_of_who_exits", ("leak",), "an ending thread's list of contexts stays behind"),
    mutant("exit-without-the-hook", "D2", CONTEXTS_CC, "  Slot::open(&ThreadContexts::thread_exit);", "  Slot::open([](ThreadContexts*) {});", "lifecycle.memory_of_who_exits", WRONG + ("leak",) + STUCK, "no hook runs when a thread ends"),
    mutant("dropped-without-detach", "D2", CONTEXTS_CC, "    context->core().detach(*context);\n", "", "lifecycle.used_again_against_close", GONE,
           "a retired context is deleted while the closing device is about it"),
    mutant("dropped-before-it-is-retired", "X3", CONTEXTS_CC, "return entry.context->retired();", "return !entry.context->retired();", "lifecycle.memory_of_who_exits", GONE + WRONG + STUCK + ("leak", "exception", "crash"),
           "the contexts that are not retired are dropped"),
    mutant("close-retires-without-folding", "D2", CORE_CC, "    context->fold_parts();\n    return true;", "    return true;", "lifecycle.figures_after_close", WRONG, "what a thread has counted is lost when the device closes"),
    mutant("close-retires-and-keeps", "T1 X3", CORE_CC, "    context->retire_parts();\n    context->fold_parts();", "    context->fold_parts();", "lifecycle.figures_after_close", WRONG,
           "the closing device does not give back what threads have cached"),
    mutant("close-retires-without-lock", "X3 D2", CORE_CC, "  sync::UniqueLock lock(contexts_mutex_);\n  // Those that we can't", "  sync::UniqueLock lock(closing_mutex_);\n  // Those that we can't", "cache.thread_exit_against_close", RACE + ("misuse",) + STUCK,
           "the closing device goes through the contexts without the list's mutex"),
    mutant("hold-kept-by-an-exception", "X1", CONTEXT_H, "    ~Hold() { leave(); }", "    ~Hold() {\n      if (std::uncaught_exceptions() == 0) leave();\n    }", "lifecycle.closed_after_a_throw", STUCK,
           "whoever leaves by an exception still holds its context"),
    mutant("hold-left-as-another", "X1", CONTEXT_H, "      of_owner_ ? lock->unlock() : lock->unclaim();", "      of_owner_ ? lock->unlock() : lock->unlock();", "cache.flush_against_owner", STUCK, "who has flushed a context does not give the claim back"),
    mutant("stolen-from-the-owner", "X1", CONTEXT_H, "return {lock_.try_claim() ? &lock_ : nullptr, false};", "return {(static_cast<void>(lock_.try_claim()), &lock_), false};", "cache.flush_against_owner", RACE + WRONG, "a context that is held is held by another one, too"),
    mutant("context-list-without-lock", "D2", "src/device/core.h", "  void with_contexts(Visit&& visit) EXCLUDES(contexts_mutex_) {\n    sync::LockGuard lock(contexts_mutex_);\n", "  void with_contexts(Visit&& visit) {\n",
           "accounting.sums_beside_changes", RACE + GONE, "figures are summed without the list's mutex"),
    mutant("idle-contexts-without-lock", "D2 X3", "src/device/core.h", "    bool all = true;\n    sync::LockGuard lock(contexts_mutex_);\n", "    bool all = true;\n", "lifecycle.trim_against_exit", GONE, "contexts are flushed without the list's mutex"),
]

FORKED = "lifecycle.fork_beside_an_allocation"
FORKED_CLOSE = "lifecycle.fork_beside_a_close"

FORK = [
    mutant("fork-child-closes", "D1", CORE_CC, "void Core::close(CloseMode mode) noexcept {\n  if (forked()) return;\n", "void Core::close(CloseMode mode) noexcept {\n", FORKED_CLOSE, STUCK + WRONG + ("misuse", "crash"), "a forked child closes the device"),
    mutant("fork-child-is-not-told", "D1", FORK_CC, "  in_child.store(true, std::memory_order_relaxed);\n", "", FORKED, STUCK + WRONG + ("misuse", "crash"), "a forked child does not know that it is one"),
    mutant("fork-child-keeps-its-context", "X1", FORK_CC, "  ThreadContexts::forget();\n", "", "lifecycle.fork_of_a_user", WRONG + STUCK, "a forked child finds the context that its thread had"),
    mutant("fork-child-makes-a-context", "X1", CONTEXTS_CC, "  refuse_in_forked_child(\"using a device\");\n", "", FORKED, WRONG + STUCK + ("exception", "misuse", "crash"), "a forked child makes a context"),
    mutant("fork-child-sees-it-open", "D1", CORE_CC, "return !forked() && state_", "return state_", FORKED, WRONG, "a device is open in a forked child"),
    mutant("fork-child-ends-leases", "S6", POOL_CC, "  if (slot == 0 || forked()) return;", "  if (slot == 0) return;", "lifecycle.fork_beside_a_lease", STUCK + WRONG + ("misuse", "crash"), "a forked child ends a lease"),
    mutant("fork-child-tears-down", "D1", CORE_CC, "  if (!forked()) return;\n  // The other threads", "  if (true) return;\n  // The other threads", FORKED_CLOSE, STUCK + GONE + WRONG + ("misuse", "crash", "exception"),
           "a forked child destroys what the parent's threads were using"),
    mutant("fork-child-drops-handles", "D1", CORE_CC, "void Core::drop_handle() noexcept {\n  if (forked()) return;\n", "void Core::drop_handle() noexcept {\n", "lifecycle.fork_with_a_handle", STUCK + WRONG + GONE + ("misuse", "crash", "exception"),
           "a forked child drops a handle"),
    mutant("fork-child-runs-the-hook", "X1", CONTEXTS_CC, "  if (forked()) return;\n  for (const Entry& entry : contexts->entries_) {", "  for (const Entry& entry : contexts->entries_) {", "lifecycle.fork", STUCK + WRONG + ("misuse", "crash"),
           "a thread of a forked child ends as one of the parent's", harmless="The child has forgotten the list of its one thread, and no other thread of it can have one. It is for a hook that was underway."),
]

ALLOCATOR_CC = "src/memory/allocator.cc"
ALLOCATOR_H = "src/memory/allocator.h"
USES_CC = "src/memory/uses.cc"
SLOW_CC = "src/memory/slow.cc"
CACHE_CC = "src/memory/thread_cache.cc"
CACHE_H = "src/memory/thread_cache.h"
SPACE_CC = "src/memory/space.cc"
MAP_CC = "src/memory/page_map.cc"
BUDGET = "cache.two_share_the_budget"
ONE_HAS_IT = "out_of_memory.two_and_one_has_it"

RECLAIMING = "  sync::LockGuard lock(reclaiming_);\n"
RECLAIM = RECLAIMING + """  Reclaimed result;
  const auto try_again = [&](bool flush_first) {
    return obtain_holding(context, arena, request, flush_first, result);
  };
  if (try_again(true)) return result;
"""

MEMORY = [
    mutant("arena-store-relaxed", "A2", ALLOCATOR_CC, "entry.store(owned_.back().get(), std::memory_order_release);", "entry.store(owned_.back().get(), std::memory_order_relaxed);",
           "arena.made_beside_another", RACE, "an arena is there for others before it is whole"),
    mutant("arena-load-relaxed", "A2", ALLOCATOR_H, "arenas_[static_cast<std::size_t>(slot)].load(std::memory_order_acquire)", "arenas_[static_cast<std::size_t>(slot)].load(std::memory_order_relaxed)",
           "arena.made_beside_another", RACE, "who allocates acquires nothing of the arena"),
    mutant("arena-visit-relaxed", "A2", ALLOCATOR_H, "arenas_[slot].load(std::memory_order_acquire)", "arenas_[slot].load(std::memory_order_relaxed)", "arena.made_against_trim", RACE,
           "who goes through the arenas acquires nothing of them"),
    mutant("arena-made-twice", "A2", ALLOCATOR_CC, "  if (Arena* arena = entry.load(std::memory_order_relaxed))\n    return *arena;  // relaxed: written under the mutex\n", "",
           "arena.made_beside_another", WRONG + GONE + ("exception",), "two threads that come first make two arenas of one stream"),
    mutant("arena-made-without-lock", "A2", ALLOCATOR_CC, "  sync::LockGuard lock(making_);\n  if (Arena* arena", "  if (Arena* arena", "arena.made_beside_another", RACE, "two make arenas at once"),
    mutant("budget-in-two-steps", "T1", CACHE_CC, """    if (left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed,
                                    std::memory_order_relaxed)) {
      return true;
    }
""", "    left_.store(left - bytes, std::memory_order_relaxed);\n    return true;\n", BUDGET, WRONG, "two caches take the same part of the budget"),
    mutant("budget-given-back-in-two-steps", "T1", CACHE_CC, "  left_.fetch_add(bytes, std::memory_order_relaxed);", "  left_.store(left_.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);", BUDGET, WRONG,
           "what two caches give back of the budget is one's"),
    mutant("cache-hand-out-relaxed", "M6", CACHE_H, "        BlockWord::make(BlockState::live, BlockWord::generation(block.word.load(std::memory_order_relaxed))),\n        std::memory_order_release);",
           "        BlockWord::make(BlockState::live, BlockWord::generation(block.word.load(std::memory_order_relaxed))),\n        std::memory_order_relaxed);", "cache.found_by_address", RACE,
           "a block is live before it is whole"),
    mutant("block-found-relaxed", "M6", ALLOCATOR_CC, "  word = block->word.load(std::memory_order_acquire);\n  return BlockWord::state(word) == BlockState::live ? block : nullptr;", "  word = block->word.load(std::memory_order_relaxed);\n  return BlockWord::state(word) == BlockState::live ? block : nullptr;",
           "cache.found_by_address", RACE, "who finds a live block has not seen it made"),
    mutant("block-taken-relaxed", "M6", ALLOCATOR_CC, "                                            std::memory_order_acquire, std::memory_order_relaxed);\n}\n\nstd::string hex", "                                            std::memory_order_relaxed, std::memory_order_relaxed);\n}\n\nstd::string hex",
           "cache.", RACE, "who frees a block acquires nothing of who had it",
           harmless="The look-up before has acquired the same word; only marks can have changed it since, and whoever set them had the caller order the two calls."),
    mutant("check-load-relaxed", "M6", USES_CC, "block->word.load(std::memory_order_acquire)", "block->word.load(std::memory_order_relaxed)", "uses.", RACE + WRONG,
           "checking a declared use acquires nothing", harmless="The look-up before it has acquired the word; and of the block only atomics and what never changes are read."),
    mutant("mark-change-relaxed", "M6", USES_CC, "std::memory_order_acq_rel, std::memory_order_acquire)) {\n    if (BlockWord::state(word) == BlockState::live", "std::memory_order_relaxed, std::memory_order_acquire)) {\n    if (BlockWord::state(word) == BlockState::live",
           "uses.", RACE, "a mark publishes nothing", harmless="A mark speaks of the block's contents, which are the device's, and of nothing that the host reads: its users order the calls."),
    mutant("mark-change-in-two-steps", "M6", USES_CC, """  while (!block.word.compare_exchange_weak(word, (word & ~BlockWord::kDiscarded) | discarded,
                                           std::memory_order_acq_rel, std::memory_order_acquire)) {
""", """  block.word.store((word & ~BlockWord::kDiscarded) | discarded, std::memory_order_release);
  while (false) {
""", "uses.mark_against_free", WRONG + ("exception",), "a mark overwrites a free"),
    mutant("discarded-is-not-looked-at", "M6", USES_CC, "    if ((word & BlockWord::kDiscarded) != 0) {", "    if (false) {", "uses.discarded", WRONG, "recorded work uses what was made discardable"),
    mutant("reclaim-does-not-flush-its-own", "O1", SLOW_CC, "  if (flush_first) cache.flush();\n", "  static_cast<void>(flush_first);\n", "out_of_memory.cached_by_itself", WRONG + ("exception",), "out of memory, a thread keeps what it caches itself"),
    mutant("reclaim-forgets-that-it-skipped", "O1", SLOW_CC, "  result.skipped_a_cache = !flush_caches(&context);", "  static_cast<void>(flush_caches(&context));", "out_of_memory.cached_by_who_exits", WRONG,
           "a cache that is in use is not waited for"),
    mutant("reclaim-beside-another", "O1", SLOW_CC, "  sync::LockGuard lock(reclaiming_);\n", "", ONE_HAS_IT, ("exception",), "two threads out of memory miss what each other is moving"),
    mutant("reclaim-flushes-its-own-beside-another", "O1", SLOW_CC, RECLAIM, RECLAIM.replace(RECLAIMING, "") + RECLAIMING, ONE_HAS_IT, ("exception",),
           "a thread flushes what it caches while another one looks for it"),
    mutant("lent-without-a-use", "A1", SLOW_CC, "  lender.add_use(*block, BlockWord::generation(block->word.load(std::memory_order_relaxed)),\n                 {.point = {borrower.slot(), 0}, .until_free = true});\n", "", "out_of_memory.borrowed", WRONG,
           "memory that was lent is the lender's while the borrower's work uses it"),
    mutant("reused-while-it-is-used", "A1", SLOW_CC, "      waits = waits && streams_.try_insert_wait(arena.slot(), use.point);", "      static_cast<void>(use);", "uses.reused_behind_a_wait", WRONG, "memory is reused with no wait for its uses"),
    mutant("limit-given-back-first", "M2", SPACE_CC, """  memory_.decommit(range.data(), bytes);
  source_.limit.give_back(bytes);
  committed_ -= bytes;
  return &make_hole""", """  source_.limit.give_back(bytes);
  memory_.decommit(range.data(), bytes);
  committed_ -= bytes;
  return &make_hole""", "limit.given_back_against_growth", WRONG, "the limit has room before the memory was given back"),
    mutant("map-spanning-store-relaxed", "P1", MAP_CC, "spanning.store(&block, std::memory_order_release);", "spanning.store(&block, std::memory_order_relaxed);", "page_map.spanning", GONE, "a block that spans granules is published before it is there"),
    mutant("map-spanning-load-relaxed", "P1", MAP_CC, "granule->spanning.load(std::memory_order_acquire)", "granule->spanning.load(std::memory_order_relaxed)", "page_map.spanning", GONE, "a look-up acquires no block that spans granules"),
    mutant("map-containing-load-relaxed", "P1", MAP_CC, "    Block* block = granule->entry(unit).load(std::memory_order_acquire);", "    Block* block = granule->entry(unit).load(std::memory_order_relaxed);", "page_map.containing_new", GONE, "a look-up of an address within a block acquires no block"),
    mutant("graph-arena-store-relaxed", "A3", "src/memory/graph_memory.cc", "store(&memory.arena, std::memory_order_release);", "store(&memory.arena, std::memory_order_relaxed);", "capture.", RACE,
           "a capture's arena is there for others before it is whole", harmless="Who allocates in a capture was told of its stream by who began it, which orders the two; and nobody else looks there."),
]

FORGET = "void Registry::forget(Core& core) noexcept {\n  sync::Ref<Core> dropped;  // outlives the lock: it may be the last but for the caller's\n  sync::LockGuard lock(mutex_);\n"

REGISTRY = [
    mutant("registry-two-build-one-name", "D1", REGISTRY_CC, "  sync::LockGuard opening(opening_);\n  prepare();\n  {\n    sync::LockGuard lock(mutex_);\n    for (", "  prepare();\n  {\n    sync::LockGuard lock(mutex_);\n    for (",
           "registry.two_open_one_name", WRONG + RACE, "two threads open two devices of one name"),
    mutant("registry-drops-while-building", "D1", REGISTRY_CC, "  return add(name, build(name, options));", "  opening_.unlock();\n  sync::Ref<Core> built = build(name, options);\n  opening_.lock();\n  return add(name, std::move(built));",
           "registry.two_open_one_name", WRONG + RACE, "a device of the name is looked for while another one is built"),
    mutant("registry-opens-without-a-handle", "D1 R1", REGISTRY_CC, "entry.core->is_open() && entry.core->try_add_handle()) {\n        return sync::Ref<Core>::adopt(entry.core.get());", "entry.core->is_open()) {\n        entry.core->add_handle();\n        return sync::Ref<Core>::adopt(entry.core.get());",
           "registry.opened_against_the_last_drop", WRONG + GONE, "a device is opened whose last handle has gone"),
    mutant("registry-forgets-without-lock", "D1", REGISTRY_CC, FORGET, FORGET.replace("  sync::LockGuard lock(mutex_);\n", ""), "registry.not_found_once_torn_down", GONE, "a device is forgotten without the registry's mutex"),
    mutant("registry-finds-without-lock", "D1", REGISTRY_CC, "  if (forked()) return {};\n  sync::LockGuard lock(mutex_);\n", "  if (forked()) return {};\n", "registry.not_found_once_torn_down", GONE, "a device is looked for without the registry's mutex"),
    mutant("registry-adds-without-lock", "D1", REGISTRY_CC, "    sync::LockGuard lock(mutex_);\n    entries_.push_back(", "    entries_.push_back(", "registry.opened_against_the_last_drop", GONE, "a device is listed without the registry's mutex"),
    mutant("registry-forgets-last", "D1", CORE_CC, "  Registry::get().forget(*this);\n  gate_.close_and_wait();\n  for (auto& layer : layers_) layer->begin_close(mode);\n  if (mode == CloseMode::drain) {\n    retire_contexts();\n    for (std::size_t i = kLayerCount; i-- > 0;) layers_[i]->finish_close();\n  }\n  backend_->stop();\n",
           "  gate_.close_and_wait();\n  for (auto& layer : layers_) layer->begin_close(mode);\n  if (mode == CloseMode::drain) {\n    retire_contexts();\n    for (std::size_t i = kLayerCount; i-- > 0;) layers_[i]->finish_close();\n  }\n  backend_->stop();\n  Registry::get().forget(*this);\n",
           "registry.not_found_once_torn_down", WRONG, "a device is found until it was torn down (alive cleared after tear-down)"),
    mutant("handle-dropped-in-a-handler", "D1 H4", CORE_CC, "    if (on_device_thread()) {\n      Registry", "    if (false) {\n      Registry", "lifecycle.dropped_in_a_handler", STUCK + ("misuse",), "a handler's thread closes the device, and waits for itself"),
]

SECTIONS = {
    "Handles and the close": CLOSE,
    "The registry of open devices": REGISTRY,
    "Threads that come and go": THREADS,
    "Fork": FORK,
    "Memory beside threads": MEMORY,
}
