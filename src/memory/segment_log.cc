#include "memory/segment_log.h"

#include <utility>

namespace millrace {

struct SegmentLog::Entry {
  SegmentChange change;
  std::size_t observers = 0;  // so many there were
  Entry* next = nullptr;
};

void SegmentLog::FreeEntry::operator()(Entry* entry) const noexcept {
  delete entry;
}

SegmentLog::~SegmentLog() {
  while (first_ != nullptr) delete std::exchange(first_, first_->next);
}

void SegmentLog::add_observer(std::shared_ptr<MemoryObserver> observer) {
  sync::LockGuard lock(mutex_);
  observers_.push_back(std::move(observer));
  watching_.store(observers_.size(), std::memory_order_relaxed);
}

SegmentLog::Room SegmentLog::make_room() const {
  return Room(watching() == 0 ? nullptr : new Entry);
}

void SegmentLog::note(Room room, const SegmentChange& change) noexcept {
  if (room == nullptr) return;
  sync::LockGuard lock(mutex_);
  Entry* const entry = room.release();
  entry->change = change;
  entry->observers = observers_.size();
  (first_ == nullptr ? first_ : last_->next) = entry;
  last_ = entry;
  // relaxed: a thread sees its own, which is all that it has to tell of.
  noted_.store(true, std::memory_order_relaxed);
}

void SegmentLog::tell() noexcept {
  if (!noted_.load(std::memory_order_relaxed)) return;
  sync::UniqueLock lock(mutex_);
  if (telling_) return;  // who does comes to these too
  telling_ = true;
  while (first_ != nullptr) {
    const Room entry(std::exchange(first_, first_->next));
    // What stands in the list stays where it is, also when others are added meanwhile.
    auto observer = observers_.begin();
    for (std::size_t i = 0; i < entry->observers; ++i, ++observer) {
      MemoryObserver& told = **observer;
      lock.unlock();
      told.on_segment(entry->change);
      lock.lock();
    }
  }
  noted_.store(false, std::memory_order_relaxed);
  telling_ = false;
}

void SegmentLog::tell(const OutOfMemoryReport& report) noexcept {
  if (watching() == 0) return;
  sync::UniqueLock lock(mutex_);
  const std::size_t count = observers_.size();
  auto observer = observers_.begin();
  for (std::size_t i = 0; i < count; ++i, ++observer) {
    MemoryObserver& told = **observer;
    lock.unlock();
    told.on_out_of_memory(report);
    lock.lock();
  }
}

}  // namespace millrace
