#include "backends/host/chaos.h"

#include <chrono>

#include "sync/thread.h"

namespace millrace::host {

Chaos::Chaos(std::optional<std::uint64_t> seed, int worker) noexcept
    : on_(seed.has_value()), state_(seed.value_or(0) ^ static_cast<std::uint64_t>(worker)) {
  // Seeds that differ in a bit or two must not begin alike.
  for (int i = 0; i < 4; ++i) (void)next();
}

std::uint64_t Chaos::next() noexcept {  // SplitMix64
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::size_t Chaos::pick(std::size_t count) noexcept {
  if (!on_ || count < 2) return 0;
  return static_cast<std::size_t>(next() % count);
}

void Chaos::delay() noexcept {
  if (!on_) return;
  const std::uint64_t roll = next();
  if (roll % 2 == 0) return;
  if (roll % 129 == 0) {
    sync::sleep_for(std::chrono::milliseconds(2));
  } else {
    sync::sleep_for(std::chrono::microseconds((roll >> 32) % 200));
  }
}

}  // namespace millrace::host
