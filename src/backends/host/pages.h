// Protect mode: makes the pages of freed memory inaccessible, within the system's limit of mappings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "sync/annotations.h"
#include "sync/mutex.h"

namespace millrace::host {

/// Which pages are inaccessible. Each separate range of them costs the process up to two mappings, of
/// which the system allows some 65,000; past this object's share freed memory stays accessible. Making
/// memory accessible again always works.
///
/// Invariants (docs/concurrency.md):
///   K1  Pages outside ranges_ have the protection that commit gave them.
///   K2  The ranges of all Pages of the process are at most the budget each was made with, and more only
///       by what making part of a range accessible leaves over on its sides.
///
/// Thread safety: all members from any thread; one range from one thread at a time.
class Pages {
 public:
  /// budget: ranges that all objects of the process together may have.
  explicit Pages(std::size_t budget) noexcept : budget_(budget) {}
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  /// A quarter of the mappings that the system allows, since each range may cost two.
  static std::size_t default_budget();

  /// Pages that lie wholly inside. Best effort.
  void close(void* address, std::size_t bytes) noexcept;
  /// Every page that the range touches.
  void open(void* address, std::size_t bytes) noexcept;
  /// The range was mapped anew, or away.
  void forget(void* address, std::size_t bytes) noexcept;

  std::size_t ranges() const noexcept;

 private:
  using Ranges = std::map<std::uintptr_t, std::uintptr_t>;  // begin to end; never adjacent

  /// Takes [begin, end) out of the ranges, and gives the pages access again if asked.
  void remove(std::uintptr_t begin, std::uintptr_t end, bool give_access) noexcept REQUIRES(mutex_);

  const std::size_t budget_;
  mutable sync::Mutex mutex_;
  Ranges ranges_ GUARDED_BY(mutex_);
};

}  // namespace millrace::host
