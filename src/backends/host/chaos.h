// Chaos mode: random delays and a random order between streams, from a seed, so that missing waits show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace millrace::host {

/// The dice of one worker.
///
/// Reproducible from the seed: the sequence of choices and delays that each worker draws (its own
/// generator starts from the seed and the worker's number). Not reproducible: which worker takes which
/// submission, since the system schedules the workers; with one worker and work that is all submitted
/// before it starts, the whole order is. The contract's order (within a queue, and by waits) always holds.
///
/// Thread safety: one thread at a time.
class Chaos {
 public:
  Chaos(std::optional<std::uint64_t> seed, int worker) noexcept;

  /// Which of count ready strands goes next; the first when chaos is off.
  std::size_t pick(std::size_t count) noexcept;
  /// Often nothing, else up to 200 us, once in a while 2 ms. Nothing at all when chaos is off.
  void delay() noexcept;

 private:
  std::uint64_t next() noexcept;

  const bool on_;
  std::uint64_t state_;
};

}  // namespace millrace::host
