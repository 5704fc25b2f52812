#include "runtime/races.h"

#include <algorithm>

namespace interleave {
namespace {

std::size_t slot_of(std::uintptr_t granule, std::size_t size) {
  return static_cast<std::size_t>((granule * 0x9e3779b97f4a7c15) >> 32) & (size - 1);
}

}  // namespace

Races::Races() : table_(1024) {}

Races::Granule& Races::find(std::uintptr_t number) {
  if (used_run_ != run_) {
    used_run_ = run_;
    used_ = 0;
  }
  for (std::size_t i = slot_of(number, table_.size());; i = (i + 1) & (table_.size() - 1)) {
    Granule& granule = table_[i];
    if (granule.run != run_) {
      if (2 * ++used_ > table_.size()) {
        grow();
        return find(number);
      }
      granule.run = run_;
      granule.number = number;
      granule.count = 0;
      return granule;
    }
    if (granule.number == number) return granule;
  }
}

void Races::grow() {
  std::vector<Granule> old(2 * table_.size());
  old.swap(table_);
  used_ = 0;
  for (const Granule& granule : old) {
    if (granule.run == run_) find(granule.number) = granule;
  }
}

const PlainAccess* Races::access(const PlainAccess& access, Knowledge& knowledge) {
  Granule& granule = find(access.granule);
  int kept = 0;
  for (int i = 0; i < granule.count; ++i) {
    const PlainAccess& earlier = granule.kept[i];
    const bool mine = earlier.moment.thread == access.moment.thread;
    const bool overlap = (earlier.bytes & access.bytes) != 0;
    const bool past = mine || knowledge.knows(earlier.moment);
    // What a thread that is gone has only read anybody may write, and what it was writing, too.
    const bool conflict = knowledge.is_gone(earlier.moment.thread) ? earlier.write && !access.write
                                                                   : earlier.write || access.write;
    if (overlap && !past && conflict) return &earlier;
    // Whoever races with the earlier access races with this one, too: the earlier one can go.
    const bool covered = past && (earlier.bytes & ~access.bytes) == 0 && (access.write || !earlier.write);
    if (!covered) granule.kept[kept++] = earlier;
  }
  if (kept == kKept) --kept;  // room for the newest; only many threads reading parts of one word get here
  granule.kept[kept++] = access;
  granule.count = kept;
  return nullptr;
}

const PlainAccess* Races::forget(std::uintptr_t address, std::size_t bytes, std::uint8_t thread,
                                 Knowledge& knowledge) {
  if (used_run_ != run_ || used_ == 0) return nullptr;
  const std::uintptr_t first = address / 8, last = (address + std::max<std::size_t>(bytes, 1) - 1) / 8;
  const auto check = [&](Granule& granule) -> const PlainAccess* {
    for (int i = 0; i < granule.count; ++i) {
      const Moment moment = granule.kept[i].moment;
      if (moment.thread != thread && !knowledge.is_gone(moment.thread) && !knowledge.knows(moment))
        return &granule.kept[i];
    }
    granule.count = 0;
    return nullptr;
  };
  if (last - first > table_.size()) {  // fewer granules are known than it has
    for (Granule& granule : table_) {
      if (granule.run != run_ || granule.number < first || granule.number > last) continue;
      if (const PlainAccess* user = check(granule)) return user;
    }
    return nullptr;
  }
  for (std::uintptr_t number = first; number <= last; ++number) {
    for (std::size_t i = slot_of(number, table_.size()); table_[i].run == run_;
         i = (i + 1) & (table_.size() - 1)) {
      if (table_[i].number != number) continue;
      if (const PlainAccess* user = check(table_[i])) return user;
      break;
    }
  }
  return nullptr;
}

}  // namespace interleave
