// How a stream's committed work moves on: submitted, completed, told to its handlers. And who waits for it.
#include <cassert>
#include <utility>

#include "stream/pool.h"
#include "stream/stream_state.h"

namespace millrace {
namespace {

/// Waits under the lock until done() or the deadline; what done() says.
template <typename Done>
bool wait_until(sync::ConditionVariable& changed, sync::UniqueLock& lock, sync::Deadline deadline,
                Done&& done) {
  while (!done()) {
    if (!deadline) {
      changed.wait(lock);
    } else if (!changed.wait_until(lock, *deadline)) {
      return done();
    }
  }
  return true;
}

}  // namespace

Aftermath StreamState::progress() noexcept {
  Aftermath after;
  bool submitted = submit_ready();
  if (is_wrapped()) submitted |= put_marks();
  // What the backend refuses it won't report. Finishing it may make room for more.
  while (!running_.empty() && running_.front()->refused) {
    finish_front(running_.front()->failure, sync::now(), after.finished);
    submitted |= submit_ready();
  }
  // Buffers without segments are done when those before them are.
  set_final_statuses(timeline_.completed());
  retire_buffers();
  after.settle = submitted && tells_;
  return after;
}

bool StreamState::submit_ready() noexcept {
  bool submitted = false;
  while (!ready_.empty()) {
    Segment& segment = *ready_.front();
    BufferState& buffer = *segment.buffer;
    if (!buffer.started_ && started_ >= max_uncompleted_) break;
    if (!waits_are_submitted(segment)) break;
    ready_.pop_front();
    if (!buffer.started_) {
      buffer.started_ = true;
      ++started_;
    }
    submit(segment);
    submitted = true;
  }
  tell_scheduled();
  return submitted;
}

bool StreamState::waits_are_submitted(const Segment& segment) const noexcept {
  for (const TimelinePoint& point : segment.submission.waits) {
    if (pool_.timeline(point.queue).submitted() < point.value) return false;  // upholds S9
  }
  return true;
}

void StreamState::submit(Segment& segment) noexcept {
  running_.push_back(&segment);
  Submission& recorded = segment.submission;
  Submission submission;
  submission.queue = recorded.queue;
  submission.value = recorded.value;
  submission.sequence = recorded.sequence;
  submission.waits = std::move(recorded.waits);
  submission.holder = std::move(recorded.holder);
  submission.native = segment.native;
  submission.given_up = !segment.failure.ok();
  submission.timed = !segment.markings.empty();
  submission.dependencies = segment.depends;
  // What was given up is submitted for its place in the order, without its operations.
  if (segment.failure.ok()) submission.operations = std::move(recorded.operations);
  // Under the mutex, so that submissions reach the queue in order (S7). It does not wait for completions.
  Status status = pool_.core().backend().submit(std::move(submission));
  if (!status.ok()) {
    segment.refused = true;
    if (segment.failure.ok()) segment.failure = std::move(status);
    // What was not taken is destroyed with the segment, where no lock is held (H2).
    // NOLINTNEXTLINE(bugprone-use-after-move): it is as it was.
    if (recorded.operations.empty()) recorded.operations = std::move(submission.operations);
  }
  if (is_wrapped()) {
    // What the backend holds back comes on the stream after what others put there meanwhile.
    void* stream = nullptr;
    const bool is_there = pool_.core().backend().native_stream(slot_, &stream).ok() && stream != nullptr;
    if (!is_there) timeline_.set_held(segment.value());
  }
  timeline_.set_submitted(segment.value());
}

void StreamState::tell_scheduled() noexcept {
  for (; next_scheduled_ != nullptr; next_scheduled_ = next_scheduled_->next) {
    BufferState& buffer = *next_scheduled_;
    if (buffer.last_value_ > timeline_.submitted()) return;
    if (buffer.status() != BufferStatus::committed) continue;
    buffer.set_status(BufferStatus::scheduled);
    buffer.scheduled_told_ = true;
    tell(buffer, buffer.scheduled_, BufferStatus::scheduled);
  }
}

Status StreamState::may_run(std::uint64_t value) noexcept {
  sync::LockGuard lock(mutex_);
  Segment* segment = running_.front();
  while (segment != nullptr && segment->value() != value) segment = segment->next;
  if (segment == nullptr) {
    assert(timeline_.completed() >= value && "asked about a submission that is not running");
    return pool_.closed_failure();  // reported: the backend has given up on who asks
  }
  if (segment->native) return {};  // upholds S11
  if (!segment->failure.ok()) return segment->failure;
  if (!segment->buffer->failure_.ok()) return segment->buffer->failure_;  // upholds B4
  for (const TimelinePoint& point : segment->depends) {
    Status failure = pool_.status_of(point);
    if (!failure.ok()) return failure;
  }
  return {};
}

Aftermath StreamState::completed(std::uint64_t value, const Status& status,
                                 sync::Clock::time_point when) noexcept {
  sync::LockGuard lock(mutex_);
  Fifo<Segment> finished;
  assert(!running_.empty() && running_.front()->value() == value &&
         "completions come once each and in order");
  static_cast<void>(value);
  finish_front(status, when, finished);
  Aftermath after = progress();
  finished.append(std::move(after.finished));
  after.finished = std::move(finished);
  return after;
}

void StreamState::finish_front(const Status& status, sync::Clock::time_point when,
                               Fifo<Segment>& finished) noexcept {
  Segment& segment = *running_.pop_front();
  BufferState& buffer = *segment.buffer;
  if (!status.ok()) {
    failures_.add(segment.value(), buffer.sequence(), status);  // before set_completed: S4
    if (buffer.failure_.ok() && !is_final(buffer.status())) buffer.failure_ = status;
  }
  for (const Segment::Marking& marking : segment.markings) marking.mark->reached(marking.number, when);
  completed_at_ = when;
  set_final_statuses(segment.value());  // before set_completed: B3
  timeline_.set_completed(segment.value());
  retire_buffers();
  finished.push_back(&segment);
  changed_.notify_all();
}

void StreamState::set_final_statuses(std::uint64_t value) noexcept {
  for (BufferState* buffer = buffers_.front(); buffer != nullptr && buffer->last_value_ <= value;
       buffer = buffer->next) {
    if (!is_final(buffer->status())) {
      const Status& failure = buffer->failure_;
      if (!failure.ok()) note_failure(failure, buffer->generation_);
      buffer->set_status(failure.ok()                                  ? BufferStatus::completed
                         : failure.error().code() == ErrorCode::Closed ? BufferStatus::closed
                                                                       : BufferStatus::failed);
    }
    if (buffer->counted_) {
      buffer->counted_ = false;
      --uncompleted_;
    }
  }
}

void StreamState::note_failure(const Status& failure, std::uint32_t generation) noexcept {
  const std::uint32_t now = this->generation();
  if (!untold_failure_.status.ok() && untold_failure_.generation != now) {
    // Its lease has ended: the next holder does not hear of it.
    UntoldFailure ended = std::exchange(untold_failure_, {});
    if (older_failure_.status.ok()) older_failure_ = std::move(ended);
  }
  UntoldFailure& untold = generation == now ? untold_failure_ : older_failure_;
  if (untold.status.ok()) untold = {failure, generation};
}

void StreamState::retire_buffers() noexcept {
  while (!buffers_.empty() && buffers_.front()->last_value_ <= timeline_.completed()) {
    assert(buffers_.front() != next_scheduled_ && "what is done was scheduled before");
    const sync::Ref<BufferState> buffer = sync::Ref<BufferState>::adopt(buffers_.pop_front());
    if (buffer->started_) --started_;
    // H3 with the stream's mutex: in order per stream.
    if (!buffer->scheduled_told_) tell(*buffer, buffer->scheduled_, buffer->status());
    tell(*buffer, buffer->completed_, buffer->status());
    changed_.notify_all();
  }
}

void StreamState::tell(BufferState& buffer, HandlerJob& job, BufferStatus status) noexcept {
  if (job.handlers.empty()) return;
  job.status = status;
  if (is_final(status)) job.failure = buffer.failure_;
  pool_.dispatcher().push(buffer, job);
}

bool StreamState::wait_for_room(sync::Deadline deadline) {
  sync::UniqueLock lock(mutex_);
  return wait_until(changed_, lock, deadline, [this]() NO_THREAD_SAFETY_ANALYSIS {
    return uncompleted_ < max_uncompleted_ || closing_;
  });
}

bool StreamState::wait_until_completed(std::uint64_t value, sync::Deadline deadline) {
  if (timeline_.completed() >= value) return true;
  sync::UniqueLock lock(mutex_);
  return wait_until(changed_, lock, deadline, [&] { return timeline_.completed() >= value; });
}

bool StreamState::wait_until_final(const BufferState& buffer, sync::Deadline deadline) {
  sync::UniqueLock lock(mutex_);
  return wait_until(changed_, lock, deadline, [&] { return is_final(buffer.status()); });
}

bool StreamState::wait_until_empty(sync::Deadline deadline) {
  sync::UniqueLock lock(mutex_);
  return wait_until(changed_, lock, deadline, [this]() NO_THREAD_SAFETY_ANALYSIS {
    return buffers_.empty() && ready_.empty() && running_.empty();
  });
}

}  // namespace millrace
