#include "event/pool.h"

#include <optional>
#include <span>
#include <string>

#include "stream/pool.h"

namespace millrace {

EventPool::EventPool(Core& core, const Options& options)
    : core_(core), options_(options), chunks_(options.max_chunks) {}

std::unique_ptr<ContextPart> EventPool::make_part(Context& /*context*/) {
  return std::make_unique<EventCache>(*this);
}

void EventCache::retire() noexcept {
  pool_.drain(*this, 0);
}

EventPool::Lease EventPool::get(Context& context, const char* call) {
  for (bool again = false;; again = true) {
    {
      // Not through the device's gate: the hold is all that it would guard, and each event would pay for it.
      const Context::Hold hold = context.hold();
      if (!hold) core_.throw_closed(call);
      auto& cache = static_cast<EventCache&>(*context.part(LayerId::events));
      if (cache.count_ > 0 || fill(cache, call)) {
        const std::uint32_t index = cache.slots_[--cache.count_];
        return {index, slot(index).take()};
      }
    }
    if (again) break;
    drain_others();  // with no hold of our own (X4)
  }
  throw Error(ErrorCode::PoolExhausted,
              "all " + std::to_string(std::uint64_t{options_.max_chunks} * options_.chunk_slots) +
                  " events of the device are in use; reuse events or let them end",
              core_.error_context(call));
}

bool EventPool::fill(EventCache& cache, const char* call) {
  sync::LockGuard lock(mutex_);
  if (closed_) core_.throw_closed(call);
  if (free_.empty() && !grow()) return false;
  for (; cache.count_ < EventCache::kSlots / 2 && !free_.empty(); ++cache.count_) {
    cache.slots_[cache.count_] = free_.back();
    free_.pop_back();
  }
  return true;
}

bool EventPool::grow() {
  if (chunk_count_ == options_.max_chunks) return false;
  const std::uint32_t first = chunk_count_ * options_.chunk_slots;
  free_.reserve(first + options_.chunk_slots);
  chunks_[chunk_count_] = std::make_unique<EventSlot[]>(options_.chunk_slots);
  ++chunk_count_;
  for (std::uint32_t i = options_.chunk_slots; i-- > 0;) free_.push_back(first + i);
  return true;
}

void EventPool::put(Context* context, Lease lease) noexcept {
  EventSlot& given = slot(lease.slot);
  if (!given.give_back(lease.number)) return;
  if (given.has_native()) [[unlikely]]
    return_native(given.take_native(EventSlot::Which::any));  // before the slot is anybody else's (V6)
  if (context != nullptr) {
    if (const Context::Hold hold = context->hold()) {
      auto& cache = static_cast<EventCache&>(*context->part(LayerId::events));
      if (cache.count_ == EventCache::kSlots) drain(cache, EventCache::kSlots / 2);
      cache.slots_[cache.count_++] = lease.slot;
      return;
    }
  }
  sync::LockGuard lock(mutex_);
  if (!closed_) free_.push_back(lease.slot);
}

void* EventPool::native(std::uint32_t index, const char* call) {
  EventSlot& marked = slot(index);
  StreamPool& streams = StreamPool::of(core_);
  for (;;) {
    const EventSlot::Marking marking = marked.marking();
    if (marking.native != nullptr) return marking.native;
    const TimelinePoint point = marking.point;
    EventSlot::Native native{nullptr, point.queue};
    {
      const sync::Gate::Pass pass = core_.enter(call);
      streams.refuse_captured(point, call);
      streams.status_of(point).throw_if_failed();
      core_.throw_if_failed(core_.backend().lend_native_event(point, &native.event), call, point.queue);
      if (native.event == nullptr && streams.timeline(point.queue).committed() < point.value) {
        throw_rule("event-not-committed",
                   "the work that the event marks is still being recorded; commit its stream first",
                   core_.error_context(call, point.queue));
      }
    }
    if (native.event == nullptr) {
      streams.wait(point, std::nullopt, call);
      continue;
    }
    void* const event = native.event;
    const bool kept = marked.keep_native(marking.number, native);
    return_native(native);
    if (kept) return event;
  }
}

void EventPool::return_native(EventSlot::Native native) noexcept {
  if (native.event != nullptr) core_.backend().return_native_event(native.queue, native.event);
}

void EventPool::drain(EventCache& cache, std::size_t keep) noexcept {
  sync::LockGuard lock(mutex_);
  // Within the room that grow has made.
  for (; cache.count_ > keep; --cache.count_) {
    if (!closed_) free_.push_back(cache.slots_[cache.count_ - 1]);
  }
}

void EventPool::drain_others() noexcept {
  static_cast<void>(core_.with_idle_contexts(
      [](const Context&) { return true; },
      [this](Context& context) { drain(static_cast<EventCache&>(*context.part(LayerId::events)), 0); }));
}

void EventPool::begin_close(CloseMode /*mode*/) noexcept {
  sync::LockGuard lock(mutex_);
  closed_ = true;
}

}  // namespace millrace
