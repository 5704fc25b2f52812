// Faults on purpose: memory, threads and mappings that the system refuses now and then.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace millrace::tool {

/// What a program asks of the system and may not get.
enum class Fault : std::uint8_t {
  allocation,  ///< operator new throws std::bad_alloc
  thread,      ///< pthread_create returns EAGAIN, of which std::thread makes std::system_error
  mapping,     ///< mprotect that makes pages writable returns ENOMEM
};
inline constexpr std::size_t kFaults = 3;

/// How often the system refuses: one time in so many, at random; 0: never.
struct FaultRates {
  std::uint32_t allocations = 0;
  std::uint32_t threads = 0;
  std::uint32_t mappings = 0;
};

/// Refusals in one part of the program: in the scopes of FaultsHere, and on all threads that begin in them.
/// The program's own operators new, pthread_create and mprotect stand before the system's, so that whatever
/// calls them is reached, and nothing of what is under test knows.
///
/// Thread safety: any thread.
class Faults {
 public:
  Faults(const FaultRates& rates, std::uint64_t seed) noexcept;

  /// Without effect on what has been refused already.
  void turn(bool on) noexcept { on_.store(on, std::memory_order_relaxed); }
  /// How often it was asked for where it might have been refused. Zero after much work: the faults do not
  /// reach what they should.
  std::uint64_t asked(Fault fault) const noexcept;
  std::uint64_t refused(Fault fault) const noexcept;

  /// Draws, and counts.
  bool refuses(Fault fault) noexcept;

 private:
  struct Kind {
    std::uint32_t rate = 0;
    std::atomic<std::uint64_t> asked{0};
    std::atomic<std::uint64_t> refused{0};
  };
  // relaxed, all of them: they order nothing, and the joins come before they are read.
  std::array<Kind, kFaults> kinds_;
  std::atomic<bool> on_{true};
  const std::uint64_t seed_;
};

/// While it lives, the calling thread is refused things; a thread that begins meanwhile is until its end
/// (faults_until_exit).
///
/// Thread safety: made and ended by one thread.
class FaultsHere {
 public:
  explicit FaultsHere(std::shared_ptr<Faults> faults) noexcept;
  ~FaultsHere();
  FaultsHere(const FaultsHere&) = delete;
  FaultsHere& operator=(const FaultsHere&) = delete;

 private:
  const std::shared_ptr<Faults> faults_;
  const std::shared_ptr<Faults>* const outer_;
};

/// The calling thread is refused things from here on, also by what runs when it ends: destructors of
/// thread_local objects and hooks of thread-specific keys, and what those set again. Called outside all
/// scopes and once a thread. A thread that may not be refused itself begins with this. Throws std::bad_alloc.
void faults_until_exit(std::shared_ptr<Faults> faults);

/// While it lives, the calling thread is refused nothing: for what the test itself does in a callback.
///
/// Thread safety: made and ended by one thread.
class NoFaultsHere {
 public:
  NoFaultsHere() noexcept;
  ~NoFaultsHere();
  NoFaultsHere(const NoFaultsHere&) = delete;
  NoFaultsHere& operator=(const NoFaultsHere&) = delete;

 private:
  const std::shared_ptr<Faults>* const outer_;
};

}  // namespace millrace::tool
