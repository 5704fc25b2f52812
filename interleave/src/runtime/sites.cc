#include "runtime/sites.h"

#include <sys/mman.h>

#include <map>
#include <new>
#include <string_view>
#include <utility>

namespace interleave {
namespace {

constexpr int kLineBits = 17;  // beside the 47 of an address
constexpr std::uint64_t kMostLines = (std::uint64_t{1} << kLineBits) - 1;

}  // namespace

Sites::Sites() {
  void* memory = mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  table_ = new (memory) Table();
}

Sites::~Sites() {
  munmap(table_, sizeof(Table));
}

void Sites::note(Where where, int thread) noexcept {
  if (where.line == 0 || where.line > kMostLines) return;  // known by an address in code only, if at all
  const std::uint64_t place = reinterpret_cast<std::uint64_t>(where.file) << kLineBits | where.line;
  const std::size_t first = place * 0x9e3779b97f4a7c15U >> 51;
  for (std::size_t i = 0; i < kSlots; ++i) {
    Slot& slot = table_->slots[(first + i) % kSlots];
    // relaxed, here and below: nothing is published but these two numbers, and they are read when all
    // workers have ended.
    std::uint64_t found = slot.place.load(std::memory_order_relaxed);
    if (found == 0 && slot.place.compare_exchange_strong(found, place, std::memory_order_relaxed))
      found = place;
    if (found != place) continue;
    const std::uint32_t mine = std::uint32_t{1} << thread;
    if ((slot.threads.load(std::memory_order_relaxed) & mine) == 0)
      slot.threads.fetch_or(mine, std::memory_order_relaxed);
    return;
  }
  table_->lost.fetch_add(1, std::memory_order_relaxed);
}

std::vector<Site> Sites::all() const {
  // One file's name may stand in memory several times.
  std::map<std::pair<std::string_view, unsigned>, Site> sites;
  for (const Slot& slot : table_->slots) {
    const std::uint64_t place = slot.place.load(std::memory_order_relaxed);
    if (place == 0) continue;
    const auto* file = reinterpret_cast<const char*>(place >> kLineBits);
    const auto line = static_cast<unsigned>(place & kMostLines);
    Site& site = sites[{file, line}];
    site.where = {file, line};
    site.threads |= slot.threads.load(std::memory_order_relaxed);
  }
  std::vector<Site> ordered;
  ordered.reserve(sites.size());
  for (const auto& [place, site] : sites) ordered.push_back(site);
  return ordered;
}

}  // namespace interleave
