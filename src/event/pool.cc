#include "event/pool.h"

#include <string>

namespace millrace {

EventPool::EventPool(Core& core, const Options& options)
    : core_(core), options_(options), chunks_(options.max_chunks) {}

std::unique_ptr<ContextPart> EventPool::make_part(Context& /*context*/) {
  return nullptr;
}

EventPool::Lease EventPool::get(const char* call) {
  std::uint32_t index = 0;
  {
    // Not through the device's gate: this is all that it would guard, and each event would pay for it.
    sync::LockGuard lock(mutex_);
    if (closed_) core_.throw_closed(call);
    if (free_.empty()) grow(call);
    index = free_.back();
    free_.pop_back();
  }
  return {index, slot(index).take()};
}

void EventPool::grow(const char* call) {
  if (chunk_count_ == options_.max_chunks) {
    throw Error(ErrorCode::PoolExhausted,
                "all " + std::to_string(std::uint64_t{options_.max_chunks} * options_.chunk_slots) +
                    " events of the device are in use; reuse events or let them end",
                core_.error_context(call));
  }
  const std::uint32_t first = chunk_count_ * options_.chunk_slots;
  free_.reserve(first + options_.chunk_slots);
  chunks_[chunk_count_] = std::make_unique<EventSlot[]>(options_.chunk_slots);
  ++chunk_count_;
  for (std::uint32_t i = options_.chunk_slots; i-- > 0;) free_.push_back(first + i);
}

void EventPool::put(Lease lease) noexcept {
  if (!slot(lease.slot).give_back(lease.number)) return;
  sync::LockGuard lock(mutex_);
  if (!closed_) free_.push_back(lease.slot);
}

void EventPool::begin_close(CloseMode /*mode*/) noexcept {
  sync::LockGuard lock(mutex_);
  closed_ = true;
}

}  // namespace millrace
