#include "runtime/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace interleave {
namespace {

// The range of the process; empty before the first check.
std::uintptr_t range_begin = 0, range_end = 0;

constexpr int kPattern = 0xdd;  // freed
constexpr int kFresh = 0xcd;    // never written

void* reserve(std::size_t bytes) {
  void* range =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) throw std::bad_alloc();
  return range;
}

}  // namespace

Memory::Memory() {
  static_assert(sizeof(Block) <= kHeader);
  static const auto range = reinterpret_cast<std::uintptr_t>(reserve(kArena * kArenas));
  static Tag* const tags = static_cast<Tag*>(reserve(kArena * kArenas / kGranule));
  begin_ = range;
  range_begin = range;
  range_end = range + kArena * kArenas;
  tags_ = tags;
  for (std::size_t& used : used_) used = 0;
  madvise(tags, kArena * kArenas / kGranule, MADV_DONTNEED);  // what the runs of an earlier check left
  madvise(reinterpret_cast<void*>(range), kArena * kArenas, MADV_DONTNEED);
}

bool Memory::of_earlier_run(const void* address) const noexcept {
  const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(address) - begin_;
  return tag(address) == Tag::unused && offset % kArena < most_used_[offset / kArena];
}

bool Memory::of_any_run(const void* address) noexcept {
  const auto number = reinterpret_cast<std::uintptr_t>(address);
  return number >= range_begin && number < range_end;
}

std::size_t Memory::size_of(const void* address) noexcept {
  return reinterpret_cast<const Block*>(static_cast<const std::byte*>(address) - kHeader)->bytes;
}

void Memory::start_run() noexcept {
  if (!allocated_) return;
  allocated_ = false;
  for (std::size_t i = 0; i < kArenas; ++i) {
    if (used_[i] == 0) continue;
    std::memset(tags_ + i * kArena / kGranule, 0, used_[i] / kGranule + 1);
    most_used_[i] = std::max(most_used_[i], used_[i]);
    used_[i] = 0;
  }
  live_ = 0;
  freed_count_ = 0;
}

void Memory::mark(const void* data, std::size_t bytes, Tag begin, Tag rest) noexcept {
  Tag* tags = tags_ + granule(data);
  std::memset(tags, static_cast<int>(rest), std::max<std::size_t>(1, (bytes + kGranule - 1) / kGranule));
  *tags = begin;
}

void* Memory::allocate(int thread, std::size_t bytes, std::size_t alignment, Where where) noexcept {
  std::size_t& used = used_[thread];
  alignment = std::max(alignment, kGranule);
  if (bytes > kArena / 2 || alignment > kArena / 2) return nullptr;
  const std::uintptr_t arena = begin_ + static_cast<std::size_t>(thread) * kArena;
  const std::uintptr_t data = (arena + used + kHeader + alignment - 1) / alignment * alignment;
  const std::size_t end =
      data - arena + std::max<std::size_t>(1, (bytes + kGranule - 1) / kGranule) * kGranule;
  if (end > kArena) return nullptr;
  used = end;
  allocated_ = true;
  auto* block = new (reinterpret_cast<void*>(data - kHeader)) Block{};
  block->bytes = bytes;
  block->allocated_at = where;
  block->live = true;
  block->maker = static_cast<std::uint8_t>(thread);
  mark(reinterpret_cast<void*>(data), bytes, Tag::live_begin, Tag::live);
  std::memset(reinterpret_cast<void*>(data), kFresh, bytes);
  ++live_;
  return reinterpret_cast<void*>(data);
}

int Memory::reusable(std::size_t bytes) const noexcept {
  return static_cast<int>(std::count_if(freed_, freed_ + freed_count_,
                                        [&](const Block* block) { return block->bytes == bytes; }));
}

void* Memory::reuse(std::size_t bytes, int index, int thread, Where where) noexcept {
  for (int i = 0; i < freed_count_; ++i) {
    Block* block = freed_[i];
    if (block->bytes != bytes || index-- != 0) continue;
    std::copy(freed_ + i + 1, freed_ + freed_count_, freed_ + i);
    --freed_count_;
    block->live = true;
    block->allocated_at = where;
    block->maker = static_cast<std::uint8_t>(thread);
    mark(data(*block), bytes, Tag::live_begin, Tag::live);
    std::memset(data(*block), kFresh, bytes);
    ++live_;
    return data(*block);
  }
  return nullptr;
}

void Memory::release(Block& block, int thread, Where where) noexcept {
  block.live = false;
  block.freed_at = where;
  block.freer = static_cast<std::uint8_t>(thread);
  mark(data(block), block.bytes, Tag::freed_begin, Tag::freed);
  std::memset(data(block), kPattern, block.bytes);
  --live_;
  if (freed_count_ < kReusable) freed_[freed_count_++] = &block;
}

Memory::Block* Memory::find(const void* address) const noexcept {
  std::size_t at = granule(address);
  if (tags_[at] == Tag::unused) return nullptr;
  while (tags_[at] == Tag::live || tags_[at] == Tag::freed) --at;
  return reinterpret_cast<Block*>(begin_ + at * kGranule - kHeader);
}

Memory::Block* Memory::starting_at(const void* address) const noexcept {
  if (reinterpret_cast<std::uintptr_t>(address) % kGranule != 0) return nullptr;
  const Tag here = tag(address);
  if (here != Tag::live_begin && here != Tag::freed_begin) return nullptr;
  return find(address);
}

Memory::Block* Memory::any_live() const noexcept {
  for (std::size_t i = 0; i < kArenas; ++i) {
    const std::size_t first = i * kArena / kGranule;
    for (std::size_t at = first; at <= first + used_[i] / kGranule; ++at) {
      if (used_[i] != 0 && tags_[at] == Tag::live_begin) {
        return reinterpret_cast<Block*>(begin_ + at * kGranule - kHeader);
      }
    }
  }
  return nullptr;
}

}  // namespace interleave
