#include "stream/wrapped.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "stream/pool.h"
#include "sync/thread.h"

namespace millrace {
namespace {

// Between two looks whether what the host has done with was put on the stream.
constexpr std::chrono::microseconds kPause{50};

/// Numbers are never used again; a handle may be, where the stream that had it has gone.
bool are_one(const StreamIdentity& known, const StreamIdentity& named) noexcept {
  if (known.number && named.number) return *known.number == *named.number;
  return known.lasts && known.handle == named.handle;
}

}  // namespace

WrappedStreams::WrappedStreams(StreamPool& pool, int first_slot, int slots)
    : pool_(pool), first_slot_(first_slot), slots_(static_cast<std::size_t>(slots)) {}

bool WrappedStreams::is_held(std::size_t index) const noexcept {
  return pool_.state(slot_of(index)).leased();
}

bool WrappedStreams::try_take(std::size_t index, void* stream, const StreamIdentity& identity,
                              const char* call) {
  StreamState& state = pool_.state(slot_of(index));
  if (is_held(index) || !state.is_settled()) return false;
  Core& core = pool_.core();
  bool wrapped = false;
  core.throw_if_failed(core.backend().wrap(slot_of(index), stream, identity, &wrapped), call);
  if (!wrapped) return false;
  slots_[index] = {identity, slots_[index].turn + 1};
  state.begin_wrapped();
  return true;
}

StreamId WrappedStreams::lease(void* stream, const StreamIdentity& identity, const char* call) {
  sync::LockGuard lock(mutex_);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].turn == 0 || !are_one(slots_[i].identity, identity)) continue;
    StreamIdentity& known = slots_[i].identity;
    if (!known.number) known.number = identity.number;
    known.lasts |= identity.lasts;
    StreamState& state = pool_.state(slot_of(i));
    if (const auto generation = state.try_share_lease()) return {slot_of(i), *generation};
    state.begin_wrapped();
    return {slot_of(i), state.begin_lease()};
  }
  std::size_t taken = slots_.size();
  for (std::size_t tries = 0; taken == slots_.size() && tries < slots_.size(); ++tries) {
    const std::size_t index = next_;
    next_ = (next_ + 1) % slots_.size();
    if (try_take(index, stream, identity, call)) taken = index;
  }
  if (taken == slots_.size()) {
    throw Error(
        ErrorCode::PoolExhausted,
        "all " + std::to_string(slots_.size()) +
            " slots for streams of others are leased, or have work that is not done; end a lease, or raise "
            "DeviceOptions::wrapped_streams",
        pool_.core().error_context(call));
  }
  return {slot_of(taken), pool_.state(slot_of(taken)).begin_lease()};
}

void WrappedStreams::end(int slot) noexcept {
  StreamState& state = pool_.state(slot);
  Fifo<Segment> finished;
  Aftermath after;
  std::uint64_t turn = 0, last = 0;
  {
    sync::LockGuard lock(mutex_);
    if (state.drop_holder() == StreamState::LeaseEnd::held_by_others) return;
    finished = pool_.give_up_ended(slot);
    turn = slots_[index_of(slot)].turn;
    last = state.timeline().last_used();
    after = state.end_wrapped();
  }
  pool_.tidy(state, std::move(after));
  pool_.destroy(finished);
  // One of the device's own threads may be what it would wait for.
  if (pool_.core().on_device_thread()) return;
  while (!is_put(slot, turn)) {
    // Something is the host's. What comes behind it is put on the stream when that is done.
    const std::uint64_t next = state.timeline().completed() + 1;
    if (next <= last) {
      static_cast<void>(state.wait_until_completed(next, std::nullopt));
    } else {
      sync::sleep_for(kPause);
    }
  }
}

bool WrappedStreams::is_put(int slot, std::uint64_t turn) noexcept {
  sync::LockGuard lock(mutex_);
  const std::size_t index = index_of(slot);
  // Wrapped anew, it is there for longer; and it became another one after all was put on it.
  if (is_held(index) || slots_[index].turn != turn) return true;
  Backend& backend = pool_.core().backend();
  // Of what can't be put there now nobody waits here: a capture may be the caller's.
  if (!backend.check_wrapped(slot).ok()) return true;
  if (pool_.timeline(slot).submitted() != pool_.timeline(slot).last_used()) return false;
  void* stream = nullptr;
  return !backend.native_stream(slot, &stream).ok() || stream != nullptr;
}

// What the pool does for streams that others put work on.

StreamId StreamPool::wrap(void* stream, StreamLifetime lifetime, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  StreamIdentity identity;
  core_.throw_if_failed(core_.backend().identify(stream, lifetime, &identity), call);
  const StreamId wrapped = wrapped_.lease(stream, identity, call);
  leases_taken_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
  return wrapped;
}

void StreamPool::expect_capture(StreamId id, bool expected, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  check_lease(id, call);
  if (timeline(id.slot).is_wrapped()) core_.backend().expect_capture(id.slot, expected);
}

Fifo<Segment> StreamPool::give_up_ended(int slot) {
  sync::LockGuard order(order_mutex_);
  Aftermath after = state(slot).give_up_ended(held_);
  Fifo<Segment> finished = std::move(after.finished);
  if (after.settle) settle(slot, finished);
  return finished;
}

std::uint64_t StreamPool::value_to_wait_for(StreamState& stream, std::uint64_t committed) {
  if (!stream.timeline().is_wrapped()) return committed;
  Aftermath after;
  const std::uint64_t value = stream.cover_now(after);
  tidy(stream, std::move(after));
  return value;
}

void StreamPool::cover(TimelinePoint point) noexcept {
  if (!timeline(point.queue).is_wrapped()) return;
  tidy(state(point.queue), state(point.queue).want_mark(point.value));
}

void StreamPool::cover_all() noexcept {
  for (int slot = first_wrapped_; slot < first_captured_; ++slot) cover({slot, timeline(slot).covering()});
}

void StreamPool::cover_wrapped() noexcept {
  for (int slot = first_wrapped_; slot < first_captured_; ++slot) {
    if (!timeline(slot).is_wrapped()) continue;
    // A stream that is busy is not waited for.
    const bool was_idle = state(slot).is_idle();
    Aftermath after;
    const std::uint64_t value = state(slot).cover_now(after);
    tidy(state(slot), std::move(after));
    if (was_idle) assist(slot, std::nullopt, [&] { return timeline(slot).completed() >= value; });
  }
}

// And what a stream does.

void StreamState::begin_wrapped() {
  sync::LockGuard lock(mutex_);
  for (sync::Ref<BufferState>& mark : end_marks_) {
    if (!mark) mark = make_empty_marker();
  }
  ending_ = false;  // where the same stream comes back
  timeline_.set_others(true);
}

Aftermath StreamState::end_wrapped() noexcept {
  sync::LockGuard lock(mutex_);
  if (closing_) return {};  // which has covered it
  ending_ = true;
  return progress();
}

bool StreamState::is_settled() noexcept {
  sync::LockGuard lock(mutex_);
  return !closing_ && !ending_ && all_submitted();
}

Aftermath StreamState::want_mark(std::uint64_t value) noexcept {
  sync::LockGuard lock(mutex_);
  if (closing_) return {};  // which has covered it
  wanted_mark_ = std::max(wanted_mark_, value);
  return progress();
}

std::uint64_t StreamState::cover_now(Aftermath& after) noexcept {
  sync::LockGuard lock(mutex_);
  if (all_submitted() && !closing_) wanted_mark_ = std::max(wanted_mark_, timeline_.covering());
  after = progress();
  return timeline_.committed();
}

bool StreamState::is_idle() noexcept {
  sync::LockGuard lock(mutex_);
  return leased() && pool_.core().backend().is_idle(slot_);  // upholds S14
}

void StreamState::check_wrapped(const char* call) {
  if (!is_wrapped()) [[likely]]
    return;
  pool_.core().throw_if_failed(pool_.core().backend().check_wrapped(slot_), call, slot_);
}

void StreamState::check_wrapped(std::uint32_t generation, const char* call) {
  sync::LockGuard lock(mutex_);
  check_usable(generation, call);
  check_wrapped(call);
}

sync::Ref<BufferState> StreamState::make_empty_marker() {
  auto marker =
      sync::make_ref<BufferState>(sync::Ref<Core>::share(&pool_.core()), *this, slot_, 0, generation());
  auto segment = std::make_unique<Segment>(*marker, slot_, 0, 0);
  // Nothing may fail any more once the value was begun.
  segment->markings.reserve(1);
  segment->submission.waits.reserve(1);
  segment->submission.holder = pool_.core().backend().make_holder();
  segment->native = true;
  segment->ended = true;
  marker->segments_.push_back(segment.release());
  return marker;
}

sync::Ref<BufferState> StreamState::begin_marker(sync::Ref<BufferState> marker) noexcept {
  const std::uint64_t value = timeline_.last_used() + 1;
  marker->segments_.back()->submission.value = value;
  marker->generation_ = generation();
  timeline_.set_last_used(value);
  return marker;
}

sync::Ref<BufferState> StreamState::make_marker() {
  return begin_marker(make_empty_marker());
}

void StreamState::hand_over_marker(sync::Ref<BufferState> marker) noexcept {
  BufferState& handed = *marker;
  hand_over(std::move(marker));
  // Final at once: a failure of it is nobody's to hear of, but of who waits for its value.
  handed.set_status(BufferStatus::abandoned);
}

bool StreamState::others_capture() const noexcept {
  const Status usable = pool_.core().backend().check_wrapped(slot_);
  return !usable.ok() && usable.error().rule() == "captured-stream";
}

bool StreamState::put_marks() noexcept {
  bool submitted = false;
  try {
    while (all_submitted() && (ending_ || wanted_mark_ > timeline_.last_used())) {
      // While the stream is captured its work does not run. A lease that ends can't come back to it.
      const bool may_wait = !ending_ && !closing_;
      if (may_wait && others_capture()) break;
      const bool was_ending = ending_ && timeline_.is_wrapped();
      sync::Ref<BufferState> kept;
      if (ending_) kept = std::exchange(end_marks_[was_ending ? 0 : 1], {});
      hand_over_marker(kept ? begin_marker(std::move(kept)) : make_marker());
      submitted |= submit_ready();
      // After its lease nobody puts work on it. Who has asked for covering() before sees one value more at
      // most, which the second mark is (S12).
      if (was_ending) {
        timeline_.set_others(false);
      } else {
        ending_ = false;
      }
    }
  } catch (const std::bad_alloc&) {
    // The next one who asks may find memory.
  }
  return submitted;
}

}  // namespace millrace
