#include "stream/stream_state.h"

#include <algorithm>
#include <cassert>
#include <memory>
#include <string>
#include <utility>

#include "device/handler_scope.h"
#include "device/use_checker.h"
#include "stream/pool.h"

namespace millrace {
namespace {

/// Keeps one point a queue: the later one is reached after the earlier one.
void merge(std::vector<TimelinePoint>& points, TimelinePoint point) {
  for (TimelinePoint& other : points) {
    if (other.queue != point.queue) continue;
    other.value = std::max(other.value, point.value);
    return;
  }
  points.push_back(point);
}

Status abandoned_failure(const Core& core, int slot) {
  ErrorContext context = core.error_context("", slot);
  context.rule = "waited-work-abandoned";
  return Status(ErrorCode::InvalidState,
                "it waited for work that was recorded and never committed: its command buffer was abandoned, "
                "the lease of its stream ended, or that of the wrapped stream that waited did before the "
                "commit; commit before the lease ends",
                std::move(context));
}

Status forgotten_failure(const Core& core, int slot) {
  return Status(
      ErrorCode::WorkFailed,
      "it waited for old work of a stream that has failed many times since; that work failed or ran "
      "between work that did, and the errors are no longer kept; ask sooner",
      core.error_context("", slot));
}

}  // namespace

StreamState::StreamState(StreamPool& pool, int slot, StreamKind kind, int max_uncompleted, int failures_kept)
    : pool_(pool),
      slot_(slot),
      kind_(kind),
      max_uncompleted_(max_uncompleted),
      abandoned_failure_(abandoned_failure(pool.core(), slot)),
      failures_(failures_kept, forgotten_failure(pool.core(), slot)) {}

StreamState::~StreamState() = default;

ErrorContext StreamState::context(const char* call) const {
  return pool_.core().error_context(call, slot_);
}

void StreamState::check_usable(std::uint32_t generation, const char* call) {
  if (closing_) pool_.core().throw_closed(call);
  if (this->generation() != generation) {
    throw_rule("stale-stream",
               "the stream's lease has ended (its thread is gone, or its StreamLease was dropped) and the "
               "slot may be "
               "somebody else's; take a new one with Device::stream or Device::lease",
               context(call));
  }
}

void StreamState::check_recording(const BufferState& buffer, const char* rule, const char* call) {
  const BufferStatus status = buffer.status();
  if (status == BufferStatus::recording) return;
  if (closing_ || status == BufferStatus::closed) pool_.core().throw_closed(call);
  if (status == BufferStatus::abandoned) {
    throw_rule(
        rule, "the command buffer was abandoned, or the lease of its stream has ended; record into a new one",
        context(call));
  }
  throw_rule(rule,
             std::string("the command buffer was committed before (it is ") + to_string(status) +
                 "); use the stream's next one, and add handlers before the commit",
             context(call));
}

void StreamState::check_no_recorder(const char* rule, const char* call) {
  if (!current_ || !current_->recorder_open_) return;
  throw_rule(rule, "a Recorder is open on the stream's command buffer; call its end() first", context(call));
}

BufferState& StreamState::recording() {
  if (!current_) {
    current_ = sync::make_ref<BufferState>(sync::Ref<Core>::share(&pool_.core()), *this, slot_,
                                           next_sequence_, generation());
    ++next_sequence_;
    // seq_cst both: with the compare-exchange in drop_holder and the load that follows it, one sees the other
    // (S8): the buffer is of the lease that is now, or who ends that one finds it.
    static_cast<void>(recording_.exchange(true, std::memory_order_seq_cst));
    current_->generation_ = LeaseWord::generation(lease_.load(std::memory_order_seq_cst));
  }
  return *current_;
}

BufferState& StreamState::recording(std::uint32_t generation, const char* call) {
  check_usable(generation, call);
  const bool begins = !current_;
  BufferState& buffer = recording();
  if (!begins || buffer.generation_ == generation) return buffer;  // a lease that ends later finds it
  current_ = {};
  --next_sequence_;
  recording_.store(false, std::memory_order_relaxed);  // relaxed: nothing was recorded
  check_usable(generation, call);
  return recording();  // not reached: generations only grow
}

Segment& StreamState::new_segment(BufferState& buffer) {
  const std::uint64_t value = timeline_.last_used() + 1;
  auto made = std::make_unique<Segment>(buffer, slot_, value, buffer.sequence());
  made->submission.holder = pool_.core().backend().make_holder();
  Segment* const segment = made.release();
  if (!buffer.segments_.empty()) buffer.segments_.back()->ended = true;
  buffer.segments_.push_back(segment);
  timeline_.set_last_used(value);
  return *segment;
}

Segment& StreamState::segment_for_wait(BufferState& buffer) {
  Segment* const last = buffer.segments_.back();
  if (last != nullptr && !last->ended && last->submission.operations.empty()) return *last;
  return new_segment(buffer);
}

void StreamState::refuse_captured_work(const char* what, const char* call) const {
  if (!is_captured()) [[likely]]
    return;
  throw_rule("captured-work",
             std::string(what) +
                 " speaks of work that runs, and what is captured does not: end the capture and ask "
                 "of the stream on which its graph is launched",
             context(call));
}

void StreamState::add(BufferState& buffer, Operation&& operation, const char* call) {
  if (is_captured())
    pool_.core().throw_if_failed(pool_.core().backend().check_capturable(operation), call, slot_);
  Segment* const last = buffer.segments_.back();
  const bool open = last != nullptr && !last->ended;
  if (UseChecker* const checker = pool_.core().use_checker()) {
    const TimelinePoint at{slot_, open ? last->value() : timeline_.last_used() + 1};
    for (const Use& use : operation.uses) checker->check(use, at);
  }
  Segment& segment = open ? *last : new_segment(buffer);
  std::vector<Operation>& operations = segment.submission.operations;
  // In steps of four times: operations are large, so that moving them costs more than room which stays empty.
  if (operations.size() == operations.capacity())
    operations.reserve(std::max<std::size_t>(4 * operations.size(), 1));
  operations.push_back(std::move(operation));
  buffer.has_work_ = true;
}

void StreamState::check_handle(std::uint32_t generation, const char* call) {
  sync::LockGuard lock(mutex_);
  check_usable(generation, call);
}

void StreamState::record(std::uint32_t generation, Operation&& operation, const char* call) {
  sync::LockGuard lock(mutex_);
  check_usable(generation, call);
  check_no_recorder("one-encoder", call);
  add(recording(generation, call), std::move(operation), call);
}

void StreamState::record(BufferState& buffer, Operation&& operation, const char* call) {
  sync::LockGuard lock(mutex_);
  check_recording(buffer, "encode-after-commit", call);
  assert(buffer.recorder_open_ && "a Recorder records only while it is open");
  add(buffer, std::move(operation), call);
}

sync::Ref<BufferState> StreamState::current(std::uint32_t generation, const char* call) {
  sync::LockGuard lock(mutex_);
  return sync::Ref<BufferState>::share(&recording(generation, call));
}

sync::Ref<BufferState> StreamState::open_recorder(std::uint32_t generation, const char* call) {
  sync::LockGuard lock(mutex_);
  check_usable(generation, call);
  check_no_recorder("one-encoder", call);
  recording(generation, call).recorder_open_ = true;
  return current_;
}

sync::Ref<BufferState> StreamState::open_native(std::uint32_t generation, std::uint64_t committed,
                                                const char* call) {
  sync::LockGuard lock(mutex_);
  check_usable(generation, call);
  check_no_recorder("one-encoder", call);
  if (timeline_.committed() != committed) return {};
  if (current_ && (current_->has_work_ || !current_->segments_.empty())) return {};
  recording(generation, call).recorder_open_ = true;
  return current_;
}

void StreamState::begin_native(BufferState& buffer, std::span<const Use> uses, const char* call) {
  sync::LockGuard lock(mutex_);
  check_recording(buffer, "encode-after-commit", call);
  if (UseChecker* const checker = pool_.core().use_checker()) {
    for (const Use& use : uses) checker->check(use, {slot_, timeline_.last_used() + 1});
  }
  Segment& segment = new_segment(buffer);
  segment.native = true;
  segment.ended = true;
  buffer.has_work_ = true;
}

void StreamState::open_recorder(BufferState& buffer, const char* call) {
  sync::LockGuard lock(mutex_);
  check_recording(buffer, "encode-after-commit", call);
  check_no_recorder("one-encoder", call);
  buffer.recorder_open_ = true;
}

void StreamState::end_recorder(BufferState& buffer, const char* call) {
  sync::LockGuard lock(mutex_);
  check_recording(buffer, "encode-after-commit", call);
  buffer.recorder_open_ = false;
}

void StreamState::drop_recorder(BufferState& buffer) noexcept {
  sync::LockGuard lock(mutex_);
  if (buffer.status() != BufferStatus::recording) return;
  buffer.recorder_open_ = false;
  buffer.recorder_dropped_ = true;
}

void StreamState::close_native(BufferState& buffer) noexcept {
  sync::LockGuard lock(mutex_);
  if (buffer.status() == BufferStatus::recording) buffer.recorder_open_ = false;
}

void StreamState::add_to(HandlerJob& job, BufferState& buffer, Handler&& handler) {
  job.handlers.push_back(std::move(handler));
  buffer.has_work_ = true;
}

void StreamState::add_handler(std::uint32_t generation, HandlerKind kind, Handler&& handler,
                              const char* call) {
  refuse_captured_work("a handler", call);
  sync::LockGuard lock(mutex_);
  BufferState& buffer = recording(generation, call);
  add_to(kind == HandlerKind::scheduled ? buffer.scheduled_ : buffer.completed_, buffer, std::move(handler));
}

void StreamState::add_handler(BufferState& buffer, HandlerKind kind, Handler&& handler, const char* call) {
  refuse_captured_work("a handler", call);
  sync::LockGuard lock(mutex_);
  const bool scheduled = kind == HandlerKind::scheduled;
  check_recording(buffer, scheduled ? "scheduled-handler-after-commit" : "completed-handler-after-commit",
                  call);
  add_to(scheduled ? buffer.scheduled_ : buffer.completed_, buffer, std::move(handler));
}

Aftermath StreamState::set_mark(std::uint32_t generation, Mark& mark, const char* call) {
  sync::LockGuard lock(mutex_);
  check_usable(generation, call);
  check_wrapped(call);
  check_no_recorder("event-inside-encoder", call);
  sync::Ref<BufferState> marker;
  // What others have put on a wrapped stream is behind no segment, unless one is still to be submitted.
  if (is_wrapped() && all_submitted()) marker = make_marker();
  // The newest segment is the last one of wherever any is left.
  Segment* newest = marker ? marker->segments_.back() : current_ ? current_->segments_.back() : nullptr;
  if (newest == nullptr) newest = ready_.back();
  if (newest == nullptr) newest = running_.back();
  if (newest != nullptr) {
    newest->ended = true;
    newest->markings.reserve(newest->markings.size() + 1);
  }
  const std::uint64_t value = timeline_.last_used();
  const std::uint64_t number = mark.marked({slot_, value});
  if (newest != nullptr) {
    newest->markings.push_back({&mark, number});
  } else {
    mark.reached(number, value == 0 ? sync::now() : completed_at_);
  }
  if (!marker) return {};
  hand_over_marker(std::move(marker));
  return progress();
}

void StreamState::check_no_recorder(std::uint32_t generation, const char* rule, const char* call) {
  sync::LockGuard lock(mutex_);
  check_usable(generation, call);
  check_no_recorder(rule, call);
}

Segment& StreamState::segment_for_wait(std::uint32_t generation, const char* call) {
  check_usable(generation, call);
  check_no_recorder("event-inside-encoder", call);
  return segment_for_wait(recording(generation, call));
}

void StreamState::add_wait(std::uint32_t generation, TimelinePoint point, const char* call) {
  sync::LockGuard lock(mutex_);
  Segment& segment = segment_for_wait(generation, call);
  segment.depends.push_back(point);
  if (point.queue != slot_) merge(segment.submission.waits, point);
}

void StreamState::add_held_wait(std::uint32_t generation, TimelinePoint point, HeldWaits& held,
                                const char* call) {
  sync::LockGuard lock(mutex_);
  Segment& segment = segment_for_wait(generation, call);
  held.add({slot_, segment.value()}, point);
  tells_ = true;
  segment.depends.push_back(point);
  merge(segment.submission.waits, point);
}

bool StreamState::try_insert_wait(TimelinePoint point, bool& settle) {
  sync::LockGuard lock(mutex_);
  if (closing_ || (current_ && current_->recorder_open_)) return false;
  if (point.queue == slot_ || point.value == 0) return true;
  if (is_wrapped()) {
    if (!all_submitted()) return false;
    sync::Ref<BufferState> marker = make_marker();
    merge(marker->segments_.back()->submission.waits, point);
    hand_over_marker(std::move(marker));
    settle = submit_ready() && tells_;  // nothing is finished here: the caller may hold its context
    return !timeline_.trails();
  }
  Segment& segment = segment_for_wait(recording());
  merge(segment.reuse_waits, point);
  merge(segment.submission.waits, point);
  return true;
}

StreamState::Commit StreamState::commit(std::uint32_t generation, bool may_queue, const char* call) {
  sync::LockGuard lock(mutex_);
  check_usable(generation, call);
  check_wrapped(call);
  return commit_current(may_queue, call);
}

StreamState::Commit StreamState::commit(BufferState& buffer, bool may_queue, const char* call) {
  sync::LockGuard lock(mutex_);
  check_recording(buffer, "commit-once", call);
  if (buffer.generation_ == this->generation()) check_wrapped(call);
  return commit_current(may_queue, call);
}

StreamState::Commit StreamState::commit_any(const char* call) {
  sync::LockGuard lock(mutex_);
  if (closing_) pool_.core().throw_closed(call);
  if (current_ && (current_->recorder_open_ || current_->recorder_dropped_)) {
    Commit result;
    result.buffer = last_committed_;
    result.value = timeline_.committed();
    return result;
  }
  return commit_current(false, call);
}

Aftermath StreamState::flush_insertions() {
  sync::LockGuard lock(mutex_);
  if (closing_ || !current_ || current_->segments_.empty()) return {};
  BufferState& from = *current_;
  if (from.has_work_ || from.recorder_open_ || from.recorder_dropped_) return {};
  for (const Segment* segment = from.segments_.front(); segment != nullptr; segment = segment->next) {
    if (!segment->depends.empty() || !segment->markings.empty()) return {};
  }
  // A buffer of our own carries them: somebody may hold the current one and record in it.
  auto carrier = sync::make_ref<BufferState>(sync::Ref<Core>::share(&pool_.core()), *this, slot_,
                                             from.sequence_, from.generation_);
  for (Segment* segment = from.segments_.front(); segment != nullptr; segment = segment->next) {
    segment->buffer = carrier.get();
  }
  carrier->segments_ = std::move(from.segments_);
  BufferState& carried = *carrier;
  hand_over(std::move(carrier));
  // Final at once: its failure, if the backend is lost, is nobody's to hear of.
  carried.set_status(BufferStatus::abandoned);
  return progress();
}

StreamState::Commit StreamState::commit_current(bool may_queue, const char* call) {
  Commit result;
  if (current_) {
    check_no_recorder("encoder-open-at-commit", call);
    if (current_->recorder_dropped_) {
      throw_rule(
          "encoder-dropped-open",
          "a Recorder of the command buffer was dropped without end(), so it may lack operations; give it up "
          "with Stream::command_buffer().abandon() and record again",
          context(call));
    }
    if (uncompleted_ >= max_uncompleted_ && !may_queue) {
      result.full = true;
      return result;
    }
    current_->counted_ = true;
    ++uncompleted_;
    last_committed_ = current_;
    sync::add_single_writer(committed_count_, std::uint64_t{1});
    hand_over_current();
    last_committed_->set_status(BufferStatus::committed);
    result.after = progress();
  }
  result.buffer = last_committed_;
  result.value = timeline_.committed();
  return result;
}

void StreamState::hand_over_current() noexcept {
  recording_.store(false, std::memory_order_relaxed);  // relaxed: who still sees it looks in vain
  hand_over(std::exchange(current_, {}));
}

void StreamState::hand_over(sync::Ref<BufferState> given) noexcept {
  BufferState* const buffer = given.release();
  buffer->last_value_ = timeline_.last_used();
  timeline_.set_committed(buffer->last_value_);
  if (!buffer->segments_.empty()) buffer->segments_.back()->ended = true;
  ready_.append(std::move(buffer->segments_));
  buffers_.push_back(buffer);
  if (next_scheduled_ == nullptr) next_scheduled_ = buffer;
}

void StreamState::give_up(Segment& segment, const Status& failure) noexcept {
  if (segment.native) return;  // upholds S11
  segment.failure = failure;
  segment.depends.clear();
  segment.submission.waits = std::move(segment.reuse_waits);
}

void StreamState::give_up_current(HeldWaits& held, BufferStatus status, const Status& failure) noexcept {
  BufferState& buffer = *current_;
  held.erase_after({slot_, timeline_.committed()});
  for (Segment* segment = buffer.segments_.front(); segment != nullptr; segment = segment->next) {
    give_up(*segment, failure);
  }
  if (status == BufferStatus::closed) buffer.failure_ = failure;
  if (buffer.has_work_) sync::add_single_writer(abandoned_count_, std::uint64_t{1});
  buffer.recorder_open_ = false;
  hand_over_current();
  buffer.set_status(status);
  changed_.notify_all();
}

Aftermath StreamState::abandon(BufferState& buffer, HeldWaits& held, const char* call) {
  sync::LockGuard lock(mutex_);
  check_recording(buffer, "commit-once", call);
  give_up_current(held, BufferStatus::abandoned, abandoned_failure_);
  return progress();
}

std::optional<std::uint32_t> StreamState::try_share_lease() noexcept {
  // relaxed: the compare-exchange decides.
  std::uint64_t word = lease_.load(std::memory_order_relaxed);
  while (LeaseWord::holders(word) != 0) {
    // acquire: pairs with the release in begin_lease.
    if (lease_.compare_exchange_weak(word, word + 1, std::memory_order_acquire, std::memory_order_relaxed))
      return LeaseWord::generation(word);
  }
  return std::nullopt;
}

StreamState::LeaseEnd StreamState::drop_holder() noexcept {
  std::uint64_t word = lease_.load(std::memory_order_relaxed);  // relaxed: as above
  std::uint64_t left = 0;
  do {
    const std::uint32_t generation = LeaseWord::generation(word);
    left = LeaseWord::holders(word) > 1 ? word - 1 : LeaseWord::make(generation + 1, 0);
    // seq_cst: with the exchange in recording (S8). As a release it hands on what the holder did.
  } while (!lease_.compare_exchange_weak(word, left, std::memory_order_seq_cst, std::memory_order_relaxed));
  if (LeaseWord::holders(left) != 0) return LeaseEnd::held_by_others;
  return recording_.load(std::memory_order_seq_cst) ? LeaseEnd::recording : LeaseEnd::done;
}

Aftermath StreamState::give_up_recorded(HeldWaits& held) noexcept {
  sync::LockGuard lock(mutex_);
  if (!current_) return {};
  give_up_current(held, BufferStatus::abandoned, abandoned_failure_);
  return progress();
}

Aftermath StreamState::give_up_ended(HeldWaits& held) noexcept {
  sync::LockGuard lock(mutex_);
  if (current_) give_up_current(held, BufferStatus::abandoned, abandoned_failure_);
  for (Segment* segment = ready_.front(); segment != nullptr; segment = segment->next) {
    if (!waits_are_submitted(*segment)) give_up(*segment, abandoned_failure_);
  }
  held.erase_after({slot_, timeline_.submitted()});
  return progress();
}

Aftermath StreamState::close(HeldWaits& held) noexcept {
  sync::LockGuard lock(mutex_);
  closing_ = true;
  last_committed_ = {};  // it keeps the core, which keeps this
  if (current_) give_up_current(held, BufferStatus::closed, pool_.closed_failure());
  if (timeline_.is_wrapped()) wanted_mark_ = timeline_.covering();
  changed_.notify_all();
  Aftermath after = progress();
  end_marks_ = {};  // as last_committed_
  return after;
}

bool StreamState::announce_wait(std::uint64_t value) noexcept {
  sync::LockGuard lock(mutex_);
  if (timeline_.submitted() >= value) return false;
  tells_ = true;
  return true;
}

Aftermath StreamState::submit_released() noexcept {
  sync::LockGuard lock(mutex_);
  return progress();
}

void StreamState::set_tells(bool tells) noexcept {
  sync::LockGuard lock(mutex_);
  tells_ = tells;
}

Status StreamState::failure_of(const BufferState& buffer) {
  sync::LockGuard lock(mutex_);
  return buffer.failure_;
}

Status StreamState::take_first_failure(std::uint32_t generation) {
  sync::LockGuard lock(mutex_);
  for (UntoldFailure* untold : {&untold_failure_, &older_failure_}) {
    if (untold->generation == generation && !untold->status.ok()) return std::exchange(*untold, {}).status;
  }
  return {};
}

Status StreamState::take_first_failure() {
  sync::LockGuard lock(mutex_);
  Status older = std::exchange(older_failure_, {}).status;
  Status newer = std::exchange(untold_failure_, {}).status;
  return older.ok() ? newer : older;
}

bool StreamState::in_handler_of_unfinished() {
  sync::LockGuard lock(mutex_);
  for (const BufferState* buffer = buffers_.front(); buffer != nullptr; buffer = buffer->next) {
    if (!is_final(buffer->status()) && HandlerScope::inside(buffer)) return true;
  }
  return false;
}

}  // namespace millrace
