"""Mutants of what streams are made of: leases, what is recorded and committed, handlers, events, captures."""

from mutants import RACE, STUCK, WRONG, Mutant, mutant

POOL_CC = "src/stream/pool.cc"
LEASE_CC = "src/stream/lease.cc"
STATE_CC = "src/stream/stream_state.cc"
STATE_H = "src/stream/stream_state.h"
PROGRESS_CC = "src/stream/progress.cc"
DISPATCH_CC = "src/stream/dispatch.cc"
TIMELINE_H = "src/stream/timeline.h"
WRAPPED_CC = "src/stream/wrapped.cc"
BUFFER_H = "src/stream/command_buffer.h"

LAST = "lease.two_take_the_last"
ENDS = "lease.waits_for_the_end_of_another"
STALE = "lease.stale_handle"
SHARED = "lease.shared_against_end"
PARKED = "lease.parked_against_waiting"
PARKED_WITHOUT = "lease.parked_against_waiting_without_membarrier"
NEXT = "lease.recorded_work_against_the_next"
END_CASES = """  switch (state(slot).drop_holder()) {
    case StreamState::LeaseEnd::held_by_others: return;
    case StreamState::LeaseEnd::recording:
      give_up("""
DROP_CAS = "lease_.compare_exchange_weak(word, left, std::memory_order_seq_cst, std::memory_order_relaxed)"
DROP = """  } while (!""" + DROP_CAS + """);
"""

LEASES = [
    mutant("lease-keeps-its-generation", "S8", STATE_CC, "LeaseWord::make(generation + 1, 0)", "LeaseWord::make(generation, 0)", STALE, WRONG,
           "the handles of an ended lease are the next one's (no generation)"),
    mutant("lease-handle-is-not-checked", "S8", STATE_CC, "  if (this->generation() != generation) {\n", "  if (false) {\n", STALE, WRONG,
           "a stale handle records in the next lease (ABA)"),
    mutant("lease-buffer-of-an-ended-one", "S8", STATE_CC, "  if (!begins || buffer.generation_ == generation) return buffer;", "  return buffer;", STALE, WRONG,
           "who begins a command buffer does not look again whether the lease lasts"),
    mutant("lease-end-keeps-what-is-recorded", "S8", POOL_CC, """      give_up(slot, [&]() NO_THREAD_SAFETY_ANALYSIS { return state(slot).give_up_recorded(held_); });
""", "", STALE, WRONG, "what an ended lease has recorded is committed by the next one"),
    mutant("lease-free-before-it-is-tidied", "S6 S8", POOL_CC, END_CASES, END_CASES.replace("      give_up(", "      leases_.add_free(slot);\n      give_up("), NEXT,
           WRONG, "a slot is free before what its lease has recorded was given up"),
    mutant("lease-end-does-not-see-a-buffer", "S8", STATE_CC, "return recording_.load(std::memory_order_seq_cst) ? LeaseEnd::recording : LeaseEnd::done;",
           "return recording_.load(std::memory_order_acquire) ? LeaseEnd::recording : LeaseEnd::done;", STALE, WRONG,
           "the look for a command buffer is not sequentially consistent"),
    mutant("lease-begun-buffer-acq-rel", "S8", STATE_CC, "recording_.exchange(true, std::memory_order_seq_cst)", "recording_.exchange(true, std::memory_order_acq_rel)",
           STALE, WRONG, "who begins a command buffer says so with acquire and release"),
    mutant("lease-begun-buffer-looks-acquire", "S8", STATE_CC, "LeaseWord::generation(lease_.load(std::memory_order_seq_cst))",
           "LeaseWord::generation(lease_.load(std::memory_order_acquire))", STALE, WRONG, "the look whether the lease lasts is not sequentially consistent"),
    mutant("lease-end-acq-rel", "S8", STATE_CC, DROP_CAS, DROP_CAS.replace("seq_cst", "acq_rel"), STALE, WRONG,
           "the end of a lease is not sequentially consistent"),
    mutant("lease-end-in-two-steps", "S6 S8", STATE_CC, DROP, "  } while (false);\n  lease_.store(left, std::memory_order_seq_cst);\n", SHARED, WRONG + ("exception",),
           "the end of a lease overwrites who has come to share it"),
    mutant("lease-shared-with-nobody", "S6", STATE_CC, "  while (LeaseWord::holders(word) != 0) {\n", "  for (;;) {\n", SHARED, WRONG + ("exception",),
           "a slot that nobody holds is shared"),
    mutant("lease-two-take-one", "S6", LEASE_CC, "  sync::LockGuard lock(mutex_);\n  if (!closed_) return take_free(slot);", "  if (!closed_) return take_free(slot);",
           LAST, RACE, "two take a slot without the table's mutex"),
    mutant("lease-returned-without-lock", "S6", LEASE_CC, "void LeaseTable::add_free(int slot) noexcept {\n  sync::LockGuard lock(mutex_);\n",
           "void LeaseTable::add_free(int slot) noexcept {\n", ENDS, RACE, "a slot is returned without the table's mutex"),
    mutant("lease-return-tells-nobody", "S6", LEASE_CC, "  free_.push_back(slot);\n  returned_.notify_one();\n", "  free_.push_back(slot);\n", ENDS, STUCK,
           "who waits for a slot is not woken"),
    mutant("lease-return-tells-first", "S6", LEASE_CC, "  sync::LockGuard lock(mutex_);\n  free_.push_back(slot);\n  returned_.notify_one();\n",
           "  returned_.notify_one();\n  sync::LockGuard lock(mutex_);\n  free_.push_back(slot);\n", ENDS, STUCK, "who waits for a slot is woken before it is there"),
    mutant("lease-waits-before-it-looks", "S6", LEASE_CC, """    if (take_free(slot)) return {};
    if (!in_time) break;
    if (deadline) {
      in_time = returned_.wait_until(lock, *deadline);
    } else {
      returned_.wait(lock);
    }
""", """    if (!in_time) break;
    if (deadline) {
      in_time = returned_.wait_until(lock, *deadline);
    } else {
      returned_.wait(lock);
    }
    if (take_free(slot)) return {};
""", ENDS, STUCK, "who waits for a slot sleeps without looking whether one came back meanwhile"),
    mutant("lease-close-wakes-nobody", "S6 D1", LEASE_CC, "  closed_ = true;\n  returned_.notify_all();", "  closed_ = true;", "lease.waits_against_close", STUCK,
           "who waits for a slot of a device that closes is not woken"),
    mutant("lease-close-is-not-looked-at", "S6 D1", LEASE_CC, "    if (closed_) return closed();\n    if (take_free", "    if (take_free", "lease.waits_against_close", STUCK,
           "who was woken by the close waits on"),
    mutant("lease-wait-in-vain-counts-on", "S10", LEASE_CC, "  ~Waiting() { count_.fetch_sub(1, std::memory_order_relaxed); }", "  ~Waiting() {}",
           "lease.waits_in_vain", WRONG, "who has given up waiting is still counted: the exception skips the decrement"),
    mutant("lease-park-looks-first", "S10 F1", LEASE_CC, """  sync::announce(part.parked_, slot);
  // seq_cst: F1 with the count in acquire (S10).
  if (waiting_.load(std::memory_order_seq_cst) == 0) [[likely]]
    return true;
""", """  const bool waited = waiting_.load(std::memory_order_seq_cst) != 0;
  sync::announce(part.parked_, slot);
  if (!waited) return true;
""", PARKED, STUCK, "who parks a slot looks for those who wait before it says so"),
    mutant("lease-park-does-not-look", "S10", LEASE_CC, "  if (waiting_.load(std::memory_order_seq_cst) == 0) [[likely]]\n    return true;\n",
           "  if (slot >= 0) return true;\n", PARKED, STUCK, "a slot is parked although somebody waits"),
    mutant("lease-waits-for-what-is-parked", "S10", LEASE_CC, "  sync::heavy_fence();\n  take_back_parked();\n", "  sync::heavy_fence();\n", PARKED, STUCK,
           "who waits does not take back what is parked"),
    mutant("lease-waits-without-fence", "S10 F1", LEASE_CC, "  sync::heavy_fence();\n  take_back_parked();\n", "  take_back_parked();\n", PARKED, STUCK,
           "who waits does not fence before it looks for what is parked"),
    mutant("lease-wait-acq-rel", "S10 F1", LEASE_CC, "    count_.fetch_add(1, std::memory_order_seq_cst);", "    count_.fetch_add(1, std::memory_order_acq_rel);",
           PARKED_WITHOUT, STUCK, "that somebody waits is not said with sequential consistency"),
    mutant("lease-park-looks-acquire", "S10 F1", LEASE_CC, "waiting_.load(std::memory_order_seq_cst) == 0", "waiting_.load(std::memory_order_acquire) == 0",
           PARKED_WITHOUT, STUCK, "who parks a slot looks with acquire for those who wait"),
    mutant("lease-parked-is-looked-for-acquire", "S10 F1", LEASE_CC, "parked_.load(std::memory_order_seq_cst) >= 0", "parked_.load(std::memory_order_acquire) >= 0",
           PARKED_WITHOUT, STUCK, "who waits looks with acquire for what is parked"),
    mutant("lease-exit-keeps-the-parked", "S6 S10", LEASE_CC, "  if (const int slot = take_parked(); slot >= 0) pool_.leases_.add_free(slot);\n}", "}",
           "lease.parked_by_who_exits", WRONG + ("exception",), "a thread that ends keeps the slot that it has parked"),
    mutant("lease-exit-keeps-its-stream", "S6", LEASE_CC, "  if (stream_.slot >= 0) pool_.end_lease(nullptr, std::exchange(stream_, {}).slot);\n", "",
           "lease.waits_for_the_exit_of_another", STUCK, "a thread that ends keeps its own stream"),
    mutant("lease-returned-before-the-cache", "O1 S6", "src/device/context.cc", "  for (std::size_t i = kLayerCount; i-- > 0;) {\n    if (parts_[i]) parts_[i]->retire();",
           "  for (std::size_t i = 0; i < kLayerCount; ++i) {\n    if (parts_[i]) parts_[i]->retire();", "out_of_memory.cached_for_the_next_lease", WRONG,
           "a thread that ends returns its lease before its cache is drained"),
    mutant("lease-parks-without-holding", "S6 X1", POOL_CC, "    const Context::Hold hold = mine->hold();\n    if (hold && leases_.park(own_part(*mine), slot)) return;", "    if (leases_.park(own_part(*mine), slot)) return;",
           "lease.ended_against_waiting", WRONG + RACE + ("exception",) + STUCK, "a slot is parked in a context that is not held"),
    mutant("lease-takes-without-holding", "S6 X1", POOL_CC, "    const Context::Hold hold = context.hold();\n    if (!hold) core_.throw_closed(call);\n    LeasePart& own = own_part(context);\n    if (const int slot",
           "    LeasePart& own = own_part(context);\n    if (const int slot", "lease.parked_and_taken_back", WRONG + RACE + ("exception",), "what is parked is taken from a context that is not held"),
    mutant("lease-shared-relaxed", "S6", STATE_CC, "compare_exchange_weak(word, word + 1, std::memory_order_acquire, std::memory_order_relaxed)",
           "compare_exchange_weak(word, word + 1, std::memory_order_relaxed, std::memory_order_relaxed)", "lease.", RACE, "sharing a lease acquires nothing",
           harmless="What a stream has is under its mutex, and its timeline publishes itself: who shares a lease reads nothing else of it."),
    mutant("lease-begin-relaxed", "S6", STATE_H, "lease_.store(LeaseWord::make(generation, 1), std::memory_order_release);",
           "lease_.store(LeaseWord::make(generation, 1), std::memory_order_relaxed);", "lease.", RACE, "a new lease publishes nothing to who comes to share it",
           harmless="As lease-shared-relaxed."),
    mutant("lease-figure-acquire", "D2", POOL_CC, "own_part(*context).leases_.load(std::memory_order_acquire)", "own_part(*context).leases_.load(std::memory_order_relaxed)",
           "accounting.stream_figures", WRONG, "reading how many leases a thread took acquires nothing",
           harmless="It is a figure alone, and a part is folded, and read, with the list of contexts locked."),
    mutant("lease-fold-acquire", "D2", LEASE_CC, "leases_.load(std::memory_order_acquire)", "leases_.load(std::memory_order_relaxed)",
           "accounting.stream_figures", WRONG, "folding how many leases a thread took acquires nothing",
           harmless="As lease-figure-acquire; and who folds holds the context, or has retired it."),
]

RECORD = "stream.two_record_and_commit"
COMES = "stream.waits_for_work_to_come"
GIVEN_UP = "stream.waits_for_abandoned_work"
MIDDLE = "stream.waits_for_the_middle_of_a_buffer"
PRESSURE = "stream.back_pressure"

ORDER = [
    mutant("buffer-runs-on-after-a-failure", "B4", PROGRESS_CC, "  if (!segment->buffer->failure_.ok()) return segment->buffer->failure_;  // upholds B4\n", "",
           "failure.later_in_the_buffer", WRONG, "what a buffer holds behind work that failed runs"),
    mutant("record-without-lock", "B2 S7", STATE_CC, "void StreamState::record(std::uint32_t generation, Operation&& operation, const char* call) {\n  sync::LockGuard lock(mutex_);\n",
           "void StreamState::record(std::uint32_t generation, Operation&& operation, const char* call) {\n", RECORD, RACE, "two record without the stream's mutex"),
    mutant("commit-out-of-order", "S7", PROGRESS_CC, "  // Under the mutex, so that submissions reach the queue in order (S7). It does not wait for completions.\n", "  mutex_.unlock();\n  mutex_.lock();\n",
           RECORD, WRONG + RACE, "the stream's mutex is let go before the backend has the work"),
    mutant("submitted-before-it-is", "S3 S9", PROGRESS_CC, "  // Under the mutex, so that submissions reach the queue in order (S7). It does not wait for completions.\n", "  timeline_.set_submitted(recorded.value);\n",
           COMES, RACE + WRONG, "a value counts as submitted before the backend has it"),
    mutant("submitted-store-relaxed", "S3", TIMELINE_H, "submitted_.store(value, std::memory_order_release);", "submitted_.store(value, std::memory_order_relaxed);",
           COMES, RACE, "who sees that a value was submitted has not seen its submission"),
    mutant("submitted-load-relaxed", "S3", TIMELINE_H, "return submitted_.load(std::memory_order_acquire);", "return submitted_.load(std::memory_order_relaxed);",
           COMES, RACE, "reading what was submitted acquires nothing"),
    mutant("submit-looks-for-no-wait", "S9", PROGRESS_CC, "    if (!waits_are_submitted(segment)) break;\n", "", COMES, WRONG + RACE, "work is submitted before what it waits for"),
    mutant("wait-is-not-announced", "S9", POOL_CC, "  if (state(point.queue).announce_wait(point.value)) {", "  if (timeline(point.queue).submitted() < point.value) {", COMES, WRONG,
           "a wait for work to come is not announced to the stream that it waits for"),
    mutant("wait-announced-late", "S9", POOL_CC, """  if (state(point.queue).announce_wait(point.value)) {
    waiter.add_held_wait(stream.generation, point, held_, call);
""", """  if (timeline(point.queue).submitted() < point.value) {
    waiter.add_held_wait(stream.generation, point, held_, call);
    static_cast<void>(state(point.queue).announce_wait(point.value));
""", "stream.waits_and_is_committed_by_another", WRONG, "a wait is announced after it was added, and was submitted in between"),
    mutant("wait-held-without-order", "S9", POOL_CC, "  sync::LockGuard order(order_mutex_);\n  // Announced first", "  // Announced first", COMES, RACE,
           "a wait is held without the order mutex"),
    mutant("announced-and-not-told", "S9", STATE_CC, "  tells_ = true;\n  return true;", "  return true;", COMES, WRONG, "the stream that is waited for does not know it"),
    mutant("submitter-does-not-settle", "S9", POOL_CC, "  if (after.settle) {\n    sync::LockGuard order(order_mutex_);\n    settle(stream.slot()", "  if (false) {\n    sync::LockGuard order(order_mutex_);\n    settle(stream.slot()",
           COMES, WRONG, "who submits what others wait for does not tell them"),
    mutant("settle-without-order", "S9", POOL_CC, "  if (after.settle) {\n    sync::LockGuard order(order_mutex_);\n    settle(stream.slot()", "  if (after.settle) {\n    settle(stream.slot()",
           COMES, RACE, "waiting streams are told without the order mutex"),
    mutant("asked-about-what-was-told", "B1 S2", PROGRESS_CC, "return pool_.closed_failure();  // reported", "return {};  // reported", "stream.asked_about_what_is_told", WRONG,
           "what was told as cancelled may run, where the backend asks about it after that"),
    mutant("abandoned-runs", "S5 S8", STATE_CC, "    give_up(*segment, failure);\n  }\n  if (status == BufferStatus::closed)", "    static_cast<void>(segment);\n  }\n  if (status == BufferStatus::closed)",
           GIVEN_UP, WRONG, "work that was given up runs"),
    mutant("abandoned-is-no-failure", "S4 S5", PROGRESS_CC, "    if (!failure.ok()) return failure;\n  }\n  return {};", "    static_cast<void>(failure);\n  }\n  return {};",
           GIVEN_UP, WRONG, "work runs although what it waited for was given up"),
    mutant("abandoned-tells-nobody", "S5", POOL_CC, "    if (after.settle) settle(slot, finished);\n  }\n  destroy(finished);\n}\n\nvoid StreamPool::tidy", "  }\n  destroy(finished);\n}\n\nvoid StreamPool::tidy",
           GIVEN_UP, WRONG, "who waits for work that was given up is not told"),
    mutant("mark-does-not-end-a-segment", "S2 V3", STATE_CC, "    newest->ended = true;\n    newest->markings", "    newest->markings", MIDDLE, WRONG + STUCK,
           "what is recorded after an event belongs to what the event marks"),
    mutant("full-is-not-looked-at", "S1", STATE_CC, "    if (uncompleted_ >= max_uncompleted_ && !may_queue) {", "    if (false && !may_queue) {", PRESSURE, WRONG,
           "a commit does not wait while too many buffers are uncompleted"),
    mutant("full-by-one-more", "S1", STATE_CC, "    if (uncompleted_ >= max_uncompleted_ && !may_queue) {", "    if (uncompleted_ > max_uncompleted_ && !may_queue) {", PRESSURE, WRONG,
           "one buffer more may be uncompleted"),
    mutant("room-is-not-counted", "S1", PROGRESS_CC, "      buffer->counted_ = false;\n      --uncompleted_;\n", "      buffer->counted_ = false;\n", PRESSURE, STUCK,
           "a buffer that is done still counts as uncompleted"),
    mutant("room-in-the-backend-is-not-counted", "S1", PROGRESS_CC, "    if (buffer->started_) --started_;\n", "", PRESSURE, STUCK,
           "a buffer that is done still counts as the backend's"),
    mutant("room-is-not-told", "S1", PROGRESS_CC, "    tell(*buffer, buffer->completed_, buffer->status());\n    changed_.notify_all();\n", "    tell(*buffer, buffer->completed_, buffer->status());\n",
           PRESSURE, STUCK, "who waits for room is not woken when a buffer is done",
           harmless="finish_front notifies, too, and under the same lock. This one is for buffers without segments, which are done without any completion."),
    mutant("status-store-relaxed", "B3", BUFFER_H, "status_.store(status, std::memory_order_release);", "status_.store(status, std::memory_order_relaxed);",
           "timeline.what_a_final_status_says", RACE, "who sees a buffer's status has not seen what it speaks of"),
    mutant("status-load-relaxed", "B3", BUFFER_H, "return status_.load(std::memory_order_acquire);", "return status_.load(std::memory_order_relaxed);",
           "timeline.what_a_final_status_says", RACE, "asking for a buffer's status acquires nothing"),
    mutant("status-goes-back", "B1", STATE_CC, "    last_committed_->set_status(BufferStatus::committed);\n    result.after = progress();\n",
           "    result.after = progress();\n    last_committed_->set_status(BufferStatus::committed);\n", "handler.scheduled_then_completed backend.refuses_what_is_submitted", WRONG + STUCK,
           "a buffer is committed after it was scheduled, or after it has failed"),
    mutant("status-is-final-twice", "B1", PROGRESS_CC, "    if (!is_final(buffer->status())) {\n      const Status& failure", "    {\n      const Status& failure",
           "handlers.of_a_buffer_given_up", WRONG, "a buffer that was given up becomes completed"),
    Mutant("buffer-figures-acquire", "D2", STATE_H, (
        ("return committed_count_.load(std::memory_order_acquire);", "return committed_count_.load(std::memory_order_relaxed);"),
        ("return abandoned_count_.load(std::memory_order_acquire);", "return abandoned_count_.load(std::memory_order_relaxed);"),
    ), ("accounting.stream_figures",), WRONG, "reading how many buffers were committed or abandoned acquires nothing",
        "They are figures alone, and nothing is read on the strength of them."),
]

HANDLERS = [
    mutant("handlers-told-twice", "H1", PROGRESS_CC, "    buffer.scheduled_told_ = true;\n", "", "handler.scheduled_then_completed", WRONG + ("crash", "leak", "race", "use after free"),
           "scheduled handlers are handed over twice"),
    mutant("handlers-completed-first", "H3 B3", PROGRESS_CC, """    if (!buffer->scheduled_told_) tell(*buffer, buffer->scheduled_, buffer->status());
    tell(*buffer, buffer->completed_, buffer->status());
""", """    tell(*buffer, buffer->completed_, buffer->status());
    if (!buffer->scheduled_told_) tell(*buffer, buffer->scheduled_, buffer->status());
""", "handlers.of_a_buffer_given_up", WRONG, "completed handlers are handed over before the scheduled ones"),
    mutant("handlers-idle-is-not-told", "H1", DISPATCH_CC, "    told_changed_.notify_all();\n", "", "handlers.synchronized", STUCK,
           "who waits for the handlers is not woken"),
    mutant("handlers-idle-looks-once", "H1", DISPATCH_CC, "  while (told_ < target) {\n    if (!deadline) {", "  if (told_ < target) {\n    if (!deadline) {", "handlers.synchronized_twice", RACE + WRONG,
           "who waits for the handlers goes on when the first of them has run"),
    mutant("handlers-counted-before-they-ran", "H1", DISPATCH_CC, "    lock.unlock();\n    tell(job);\n    lock.lock();\n    ++told_;\n    told_changed_.notify_all();\n",
           "    ++told_;\n    told_changed_.notify_all();\n    lock.unlock();\n    tell(job);\n    lock.lock();\n", "handlers.synchronized", RACE + WRONG,
           "handlers count as told before they have run"),
    mutant("handlers-run-under-the-lock", "H2", DISPATCH_CC, "    lock.unlock();\n    tell(job);\n    lock.lock();\n", "    tell(job);\n", "handlers.add_another", STUCK + ("misuse",),
           "a handler runs with the dispatcher's mutex held"),
    mutant("handlers-thread-started-twice", "H1", DISPATCH_CC, "void Dispatcher::start() {\n  sync::LockGuard lock(mutex_);\n", "void Dispatcher::start() {\n",
           "handlers.two_begin", RACE + WRONG + ("misuse", "crash", "exception"), "two handlers start the dispatcher's thread at once"),
    mutant("handlers-stop-tells-nobody", "H1 D1", DISPATCH_CC, "    stopping_ = true;\n    work_.notify_one();\n", "    stopping_ = true;\n", "handlers.synchronized", STUCK,
           "the dispatcher is not told that it ends"),
    mutant("handlers-without-a-reference", "R1 H1", DISPATCH_CC, "  buffer.add_ref();\n", "", "handlers.synchronized", ("use after free", "double free", "race"),
           "a buffer may go before its handlers have run"),
    mutant("handlers-after-a-throw", "H1", DISPATCH_CC, "      sync::add_single_writer(exceptions_, std::uint64_t{1});\n    }\n", "      sync::add_single_writer(exceptions_, std::uint64_t{1});\n      return;\n    }\n",
           "handlers.one_throws", WRONG, "handlers behind one that throws do not run"),
    Mutant("handler-figures-acquire", "H1", "src/stream/dispatch.h", (
        ("return run_.load(std::memory_order_acquire);", "return run_.load(std::memory_order_relaxed);"),
        ("return exceptions_.load(std::memory_order_acquire);", "return exceptions_.load(std::memory_order_relaxed);"),
    ), ("accounting.stream_figures",), WRONG, "reading how many handlers ran or threw acquires nothing", "As buffer-figures-acquire."),
]

ASKED = "wrapped.asked_against_the_end_of_the_lease"
TWO_WRAP = "wrapped.two_wrap_one_stream"

WRAPPED = [
    mutant("covering-in-two-loads", "S12", TIMELINE_H, "    return (used >> kValueShift) + (used & kOthers);", "    return (used_.load(std::memory_order_acquire) >> kValueShift) + (used & kOthers);",
           ASKED, WRONG, "what covers a wrapped stream is read in two loads"),
    mutant("covering-marks-only-the-end", "S12", WRAPPED_CC, "        timeline_.set_others(false);\n      } else {", "        timeline_.set_others(false);\n        ending_ = false;\n      } else {", ASKED, WRONG,
           "who asks beside the end of a lease gets a value that nothing submits"),
    mutant("wrapped-end-makes-no-mark", "S12", WRAPPED_CC, "  ending_ = true;\n  return progress();", "  timeline_.set_others(false);\n  return progress();", ASKED, WRONG,
           "the end of a lease covers nothing of what others have put there"),
    mutant("wrapped-two-begin", "S13", WRAPPED_CC, "StreamId WrappedStreams::lease(void* stream, const StreamIdentity& identity, const char* call) {\n  sync::LockGuard lock(mutex_);\n",
           "StreamId WrappedStreams::lease(void* stream, const StreamIdentity& identity, const char* call) {\n", TWO_WRAP, RACE + WRONG, "leases of wrapped streams begin without their mutex"),
    mutant("wrapped-end-without-lock", "S13", WRAPPED_CC, "    sync::LockGuard lock(mutex_);\n    if (state.drop_holder() ==", "    if (state.drop_holder() ==", "wrapped.again_against_the_end_of_the_lease", RACE + WRONG,
           "leases of wrapped streams end without their mutex"),
    mutant("wrapped-is-not-shared", "S13", WRAPPED_CC, "    if (slots_[i].turn == 0 || !are_one(slots_[i].identity, identity)) continue;\n", "    continue;\n", TWO_WRAP, WRONG + ("exception",),
           "a driver's stream that is wrapped again is another slot"),
    mutant("covering-load-relaxed", "S12", TIMELINE_H, "const std::uint64_t used = used_.load(std::memory_order_acquire);", "const std::uint64_t used = used_.load(std::memory_order_relaxed);",
           "wrapped.", RACE + WRONG, "asking for what covers a stream acquires nothing",
           harmless="Value and flag are one word, so the one is never older than the other; and nothing else is read on the strength of it: what was recorded is under the stream's mutex, and what is done is published by completed()."),
    mutant("covering-store-relaxed", "S12", TIMELINE_H, "used_.store(value << kValueShift | (others ? kOthers : 0), std::memory_order_release);",
           "used_.store(value << kValueShift | (others ? kOthers : 0), std::memory_order_relaxed);", "wrapped.", RACE + WRONG, "a new value publishes nothing", harmless="As covering-load-relaxed."),
]

SLOT_H = "src/event/slot.h"
EVENT_CC = "src/event/pool.cc"
REUSE = "event.slot_used_again"
TWO_TAKE = "event.two_take_all"

EVENTS = [
    mutant("event-put-past-the-close", "V4 D1 X1", EVENT_CC, "    if (const Context::Hold hold = context->hold()) {\n", "    {\n      const Context::Hold hold = context->hold();\n",
           "event.given_back_against_close", RACE, "an event's deleter does not look whether the device closes"),
    mutant("event-taken-past-the-close", "V4 D1 X1", EVENT_CC, "      if (!hold) core_.throw_closed(call);\n", "", "event.taken_against_close", RACE + WRONG,
           "an event is taken from a cache that the closing device has drained"),
    mutant("event-given-back-twice", "V4", EVENT_CC, "  if (!given.give_back(lease.number)) return;\n", "  static_cast<void>(given.give_back(lease.number));\n", REUSE, WRONG,
           "giving an event back with another lease's number is not refused"),
    mutant("event-keeps-its-number", "V4", SLOT_H, "    lease_.store(lease + 1, std::memory_order_relaxed);\n    return true;", "    return true;", REUSE, WRONG,
           "an event that was given back may be given back again (no generation)"),
    mutant("event-lease-keeps-the-mark", "V2", SLOT_H, "    word_.store(0, std::memory_order_relaxed);\n", "", REUSE, WRONG, "a new lease marks what the one before has marked"),
    mutant("event-stamp-of-another-lease", "V2", SLOT_H, "    if (marked_by_ != lease_.load(std::memory_order_relaxed)) return {};\n", "", REUSE, WRONG,
           "a new lease has the time of the one before"),
    mutant("event-fill-without-lock", "V4 V5", EVENT_CC, "bool EventPool::fill(EventCache& cache, const char* call) {\n  sync::LockGuard lock(mutex_);\n",
           "bool EventPool::fill(EventCache& cache, const char* call) {\n", TWO_TAKE, RACE, "two threads take events from the pool without its mutex"),
    mutant("event-drain-without-lock", "V4", EVENT_CC, "void EventPool::drain(EventCache& cache, std::size_t keep) noexcept {\n  sync::LockGuard lock(mutex_);\n",
           "void EventPool::drain(EventCache& cache, std::size_t keep) noexcept {\n", "event.exit_against_take", RACE, "a cache's events go back to the pool without its mutex"),
    mutant("event-put-without-lock", "V4", EVENT_CC, "  sync::LockGuard lock(mutex_);\n  if (!closed_) free_.push_back(lease.slot);", "  if (!closed_) free_.push_back(lease.slot);",
           "event.given_back_by_two", RACE, "an event is given back to the pool without its mutex"),
    mutant("event-drains-nobody", "V4", EVENT_CC, "    drain_others();  // with no hold of our own (X4)\n", "", TWO_TAKE, WRONG + ("exception",),
           "who finds no event leaves those that other threads keep"),
    mutant("event-drains-who-is-at-work", "X1", EVENT_CC, "  static_cast<void>(core_.with_idle_contexts(\n      [](const Context&) { return true; },\n      [this](Context& context) { drain(static_cast<EventCache&>(*context.part(LayerId::events)), 0); }));",
           "  core_.with_contexts([this](std::span<Context* const> contexts) {\n    for (Context* context : contexts) drain(static_cast<EventCache&>(*context->part(LayerId::events)), 0);\n  });",
           TWO_TAKE, RACE, "a cache of events is drained while its thread uses it"),
    mutant("event-exit-keeps-the-cache", "V4", EVENT_CC, "  pool_.drain(*this, 0);\n", "", "event.kept_by_who_exits", WRONG + ("exception",), "a thread that ends keeps the events of its cache"),
    mutant("event-time-after-reached", "V3", PROGRESS_CC, """  for (const Segment::Marking& marking : segment.markings) marking.mark->reached(marking.number, when);
  completed_at_ = when;
  set_final_statuses(segment.value());  // before set_completed: B3
  timeline_.set_completed(segment.value());
""", """  completed_at_ = when;
  set_final_statuses(segment.value());  // before set_completed: B3
  timeline_.set_completed(segment.value());
  for (const Segment::Marking& marking : segment.markings) marking.mark->reached(marking.number, when);
""", "event.time_when_completed", WRONG, "a value is reached before its event has its time"),
    mutant("event-reached-without-lock", "V2", SLOT_H, "  void reached(std::uint64_t marking, sync::Clock::time_point when) noexcept override EXCLUDES(mutex_) {\n    sync::LockGuard lock(mutex_);\n",
           "  void reached(std::uint64_t marking, sync::Clock::time_point when) noexcept override EXCLUDES(mutex_) {\n", "event_slot.old_report", RACE,
           "a time is reported without the slot's mutex"),
]

GRAPH_CC = "src/memory/graph_memory.cc"
GRAPH = "capture.memory_of_a_graph"

CAPTURES = [
    mutant("graph-over-while-it-runs", "A3", GRAPH_CC, "      if (running != memory->launches.end()) {\n", "      if (false) {\n", GRAPH, WRONG, "a graph's memory is anybody's while a launch runs"),
    mutant("graph-over-while-it-is-held", "A3", GRAPH_CC, "      if (memory->stage != GraphMemory::Stage::dropped) continue;\n", "      if (memory->stage == GraphMemory::Stage::idle) continue;\n",
           "capture.memory_of_a_graph_that_is_held", WRONG, "a graph's memory is anybody's while the graph can be launched"),
    mutant("graph-launch-without-lock", "A3", GRAPH_CC, "  {\n    sync::LockGuard lock(graphs_mutex_);\n    for (GraphMemory* each = &memory; each != nullptr; each = each->branch) {",
           "  {\n    for (GraphMemory* each = &memory; each != nullptr; each = each->branch) {", "capture.two_launches", RACE, "two launches of one graph are noted at once"),
    mutant("pinned-is-free-at-once", "A4", "src/memory/allocator.cc", "  return block.kind == MemoryKind::pinned && (block.arena->is_captured() || timeline.completed() < covering);", "  return false;",
           "pinned.free_against_work", WRONG, "pinned memory is free while work still uses it"),
]

SECTIONS = {
    "Leases of streams": LEASES,
    "The order of streams": ORDER,
    "Handlers": HANDLERS,
    "Wrapped streams": WRAPPED,
    "The pool of events": EVENTS,
    "Captures and pinned memory": CAPTURES,
}
