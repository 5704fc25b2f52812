#include "segment_tracker.h"

#include <exception>

#include "device_memory.h"
#include "observers.h"

namespace millrace_torch {

void SegmentTracker::on_segment(const millrace::SegmentChange& change) noexcept try {
  if (!observers_.any() || change.memory != millrace::MemoryKind::device) return;
  const bool gained = change.kind == millrace::SegmentChange::Kind::gained;
  History& history = observers_.history();
  const auto action = memory_.expands(change.pool)
                          ? (gained ? History::Entry::SEGMENT_MAP : History::Entry::SEGMENT_UNMAP)
                          : (gained ? History::Entry::SEGMENT_ALLOC : History::Entry::SEGMENT_FREE);
  history.add(memory_.index(), action,
              reinterpret_cast<std::size_t>(change.address), change.bytes,
              memory_.streams().handle_of(change.stream), history.gather(History::Level::ALL),
              memory_.pools().id_of(change.pool));
} catch (const std::exception&) {
  // A listener that fails, or no memory for the entry: the memory is there all the same.
}

}  // namespace millrace_torch
