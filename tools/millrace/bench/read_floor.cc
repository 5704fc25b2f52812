#include "bench/read_floor.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace millrace::tool {
namespace {

using Words16 = std::uint64_t __attribute__((vector_size(16)));
using Words32 = std::uint64_t __attribute__((vector_size(32)));
using Words64 = std::uint64_t __attribute__((vector_size(64)));

/// Adds all 64-bit words up, in one go or in several places in turn (ragged ends are left out). Integer
/// additions, in as many sums as hide their latency: the loads alone decide how long it takes.
template <typename Words, std::size_t kPlaces>
[[gnu::always_inline]] inline std::uint64_t add_up(const std::byte* data, std::size_t bytes) {
  constexpr std::size_t kSums = 8 / kPlaces;  // a place
  constexpr std::size_t kStep = kSums * sizeof(Words);
  const std::size_t part = bytes / kPlaces / kStep * kStep;
  Words sums[kPlaces][kSums]{};
  for (std::size_t at = 0; at < part; at += kStep) {
    for (std::size_t place = 0; place < kPlaces; ++place) {
      for (std::size_t i = 0; i < kSums; ++i) {
        Words words;
        std::memcpy(&words, data + place * part + at + i * sizeof(Words), sizeof(Words));
        sums[place][i] += words;
      }
    }
  }
  std::uint64_t total = 0;
  for (const auto& place : sums) {
    for (const Words& sum : place) {
      for (std::size_t i = 0; i < sizeof(Words) / sizeof(std::uint64_t); ++i) total += sum[i];
    }
  }
  return total;
}

using AddUp = std::uint64_t (*)(const std::byte* data, std::size_t bytes);

#if defined(__x86_64__)
template <std::size_t kPlaces>
__attribute__((target("avx512f"))) std::uint64_t add_up_avx512(const std::byte* data, std::size_t bytes) {
  return add_up<Words64, kPlaces>(data, bytes);
}
template <std::size_t kPlaces>
__attribute__((target("avx2"))) std::uint64_t add_up_avx2(const std::byte* data, std::size_t bytes) {
  return add_up<Words32, kPlaces>(data, bytes);
}
#endif

template <std::size_t kPlaces>
AddUp widest() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return add_up_avx512<kPlaces>;
  if (__builtin_cpu_supports("avx2")) return add_up_avx2<kPlaces>;
#endif
  return [](const std::byte* data, std::size_t bytes) { return add_up<Words16, kPlaces>(data, bytes); };
}

double time_reading(std::span<const std::byte> bytes, int threads, AddUp add_up_part) {
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t kPage = 4096;
  const auto count = static_cast<std::size_t>(threads);
  const std::size_t part = (bytes.size() / count + kPage - 1) / kPage * kPage;
  Clock::time_point start;
  std::barrier begin(threads, [&start]() noexcept { start = Clock::now(); });
  std::atomic<std::uint64_t> total{0};  // read by nobody, but the compiler can't know that
  std::vector<std::thread> readers;
  readers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    readers.emplace_back([&, i] {
      const std::size_t first = std::min(i * part, bytes.size());
      const std::size_t length = std::min(part, bytes.size() - first);
      begin.arrive_and_wait();
      total.fetch_add(add_up_part(bytes.data() + first, length), std::memory_order_relaxed);
    });
  }
  for (std::thread& reader : readers) reader.join();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

double time_reading(std::span<const std::byte> bytes, int threads) {
  return std::min(time_reading(bytes, threads, widest<1>()), time_reading(bytes, threads, widest<4>()));
}

double ReadFloor::time() {
  if (order_ == Order::unknown) {
    time_reading(bytes_, threads_, widest<1>());  // so that neither comes first
    const double front_to_back = time_reading(bytes_, threads_, widest<1>());
    const double four_places = time_reading(bytes_, threads_, widest<4>());
    order_ = four_places < front_to_back ? Order::four_places : Order::front_to_back;
    return std::min(front_to_back, four_places);
  }
  return time_reading(bytes_, threads_, order_ == Order::four_places ? widest<4>() : widest<1>());
}

}  // namespace millrace::tool
