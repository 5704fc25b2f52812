// Races between plain accesses, found by what each thread knows of the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "interleave/where.h"

namespace interleave {

/// When an access was made: by which thread, after how many of its events.
struct Moment {
  std::uint8_t thread;
  std::uint16_t count;
};

/// Tells whether the running thread knows that a moment is past.
class Knowledge {
 public:
  virtual ~Knowledge() = default;
  virtual bool knows(Moment moment) = 0;
  /// Left behind by a fork: it did what it did, perhaps half of it, and does nothing more.
  virtual bool is_gone(unsigned thread) const noexcept = 0;
};

struct PlainAccess {
  std::uintptr_t granule = 0;  // address / 8
  Moment moment{};
  std::uint8_t bytes = 0;  // which of the eight
  bool write = false;
  Where where;
};

/// The latest plain accesses to each eight bytes of memory.
///
/// Kept of each granule: those that an access to come could still race with. A table that starts empty for
/// each run without being cleared.
///
/// Thread safety: one thread.
class Races {
 public:
  Races();

  void start_run() noexcept { ++run_; }
  /// Records an access to some of a granule's bytes. The earlier access that it races with, or null.
  const PlainAccess* access(const PlainAccess& access, Knowledge& knowledge);
  /// The access, of any kind, to these bytes that is not known to be past, or null; then they are forgotten.
  const PlainAccess* forget(std::uintptr_t address, std::size_t bytes, std::uint8_t thread,
                            Knowledge& knowledge);

 private:
  static constexpr int kKept = 8;
  struct Granule {
    std::uintptr_t number = 0;
    std::uint64_t run = 0;
    int count = 0;
    PlainAccess kept[kKept];
  };

  Granule& find(std::uintptr_t number);
  void grow();

  std::vector<Granule> table_;
  std::size_t used_ = 0;
  std::uint64_t used_run_ = 0;
  std::uint64_t run_ = 1;
};

}  // namespace interleave
