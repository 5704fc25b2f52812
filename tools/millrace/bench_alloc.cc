// millrace bench alloc: what a free and an allocation cost, by thread count, beside glibc and mimalloc.
#include "bench_alloc.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <thread>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include <millrace/device.h>

#include "bench/options.h"
#include "bench/timed_threads.h"
#include "command.h"
#include "interrupt.h"
#include "json_output.h"
#include "open_device.h"
#include "random.h"
#include "table.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kLive = 64;           // blocks a thread holds
constexpr std::size_t kSizes = 4096;        // sizes drawn before the clock starts
constexpr std::size_t kPairsPerLook = 256;  // at the clock

struct MillraceAllocator {
  Device& device;
  void* allocate(std::size_t bytes) const { return device.allocate(bytes); }
  void release(void* address) const { device.deallocate(address); }
};

struct GlibcAllocator {
  void* allocate(std::size_t bytes) const { return std::malloc(bytes); }
  void release(void* address) const { std::free(address); }
};

/// mimalloc, opened by name: linked in, its shared library would replace malloc and there would be no
/// glibc to compare with.
class Mimalloc {
 public:
  using Allocate = void* (*)(std::size_t);
  using Release = void (*)(void*);

  static std::unique_ptr<Mimalloc> find() {
#ifdef MILLRACE_MIMALLOC_LIBRARY
    void* library = ::dlopen(MILLRACE_MIMALLOC_LIBRARY, RTLD_NOW | RTLD_LOCAL);
#else
    void* library = nullptr;
#endif
    for (const char* const name : {"libmimalloc.so.2", "libmimalloc.so", "libmimalloc.so.3"}) {
      if (library == nullptr) library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    if (library == nullptr) return nullptr;
    auto found = std::make_unique<Mimalloc>();
    found->allocate_ = reinterpret_cast<Allocate>(::dlsym(library, "mi_malloc"));
    found->release_ = reinterpret_cast<Release>(::dlsym(library, "mi_free"));
    // Never closed: its threads' exit hooks would be gone with it.
    return found->allocate_ != nullptr && found->release_ != nullptr ? std::move(found) : nullptr;
  }

  void* allocate(std::size_t bytes) const {
    return allocate_(bytes);
  }
  void release(void* address) const {
    release_(address);
  }

 private:
  Allocate allocate_ = nullptr;
  Release release_ = nullptr;
};

struct Case {
  const char* name;
  std::uint64_t smallest, largest;
};
constexpr std::array<Case, 2> kCases{{{"4 KiB", 4096, 4096}, {"512 B - 1 MiB", 512, 1 << 20}}};

std::vector<std::size_t> draw_sizes(const Case& c, std::uint64_t thread) {
  Random random(1, thread);
  std::vector<std::size_t> sizes(kSizes);
  for (std::size_t& size : sizes) {
    size = c.smallest == c.largest ? c.smallest : random.log_uniform(c.smallest, c.largest);
  }
  return sizes;
}

/// One thread's pairs: frees one of its live blocks, any of them, and allocates another. On cache lines of
/// its own, also as the processor fetches them, in twos: where malloc puts them next to each other, threads
/// would disturb each other.
template <typename Allocator>
class alignas(128) Pairs final : public TimedWork {
 public:
  Pairs(const Allocator& allocator, std::vector<std::size_t> sizes)
      : allocator_(allocator), sizes_(std::move(sizes)) {}
  ~Pairs() override {
    for (void* const block : live_) {
      if (block != nullptr) allocator_.release(block);
    }
  }

  void warm_up() override {
    for (void*& block : live_) block = allocator_.allocate(next_size());
    for (std::size_t done = 0; done < kSizes; done += kPairsPerLook) run();
  }
  std::uint64_t run() override {
    for (std::size_t i = 0; i < kPairsPerLook; ++i) {
      state_ = state_ * 1664525U + 1013904223U;
      void*& block = live_[state_ >> 26U];
      allocator_.release(std::exchange(block, nullptr));
      block = allocator_.allocate(next_size());
    }
    return kPairsPerLook;
  }

 private:
  std::size_t next_size() { return sizes_[at_++ % kSizes]; }

  Allocator allocator_;
  std::vector<std::size_t> sizes_;
  std::array<void*, kLive> live_{};
  std::size_t at_ = 0;
  std::uint32_t state_ = 1;
};

/// ns a pair costs one core: the time from the common start to the common end, times the cores in use,
/// over the pairs of all threads.
template <typename Allocator>
double measure(const Allocator& allocator, const Case& c, int threads, std::chrono::milliseconds duration) {
  const TimedRun run = run_timed(threads, duration, [&](int thread) -> std::unique_ptr<TimedWork> {
    return std::make_unique<Pairs<Allocator>>(allocator, draw_sizes(c, static_cast<std::uint64_t>(thread)));
  });
  const int cores = std::min(threads, static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U)));
  return run.seconds * 1e9 * cores / static_cast<double>(run.operations);
}

}  // namespace

std::vector<BenchRow> bench_alloc(const AllocBenchRequest& request) {
  Device device = create_device(request.device, {});
  const std::unique_ptr<Mimalloc> mimalloc = Mimalloc::find();
  const std::chrono::milliseconds duration(request.milliseconds);
  std::vector<std::string> impls{"millrace", "glibc"};
  if (mimalloc) impls.emplace_back("mimalloc");
  const auto run = [&](const std::string& impl, const Case& c, int threads) {
    if (impl == "millrace") return measure(MillraceAllocator{device}, c, threads, duration);
    if (impl == "glibc") return measure(GlibcAllocator{}, c, threads, duration);
    return measure(*mimalloc, c, threads, duration);
  };
  std::map<std::tuple<std::string, int, std::string>, std::vector<double>> values;
  for (int repetition = 0; repetition < request.repetitions; ++repetition) {
    for (const Case& c : kCases) {
      for (const int threads : request.threads) {
        for (const std::string& impl : impls) {
          if (interrupted()) break;
          values[{c.name, threads, impl}].push_back(run(impl, c, threads));
        }
      }
    }
  }
  std::vector<BenchRow> rows;
  for (const Case& c : kCases) {
    for (const int threads : request.threads) {
      for (const std::string& impl : impls) {
        const auto found = values.find({c.name, threads, impl});
        if (found == values.end()) continue;
        rows.push_back({"alloc", c.name, "", impl, threads, median(found->second), "ns/pair"});
      }
    }
  }
  return rows;
}

void print_alloc_bench(const std::vector<BenchRow>& rows) {
  std::map<std::pair<std::string, int>, std::map<std::string, double>> cells;
  std::vector<std::pair<std::string, int>> order;
  for (const BenchRow& row : rows) {
    const std::pair key(row.name, row.threads);
    if (!cells.contains(key)) order.push_back(key);
    cells[key][row.impl] = row.value;
  }
  Table table({{"free + allocate"},
               {"threads", Align::right},
               {"millrace", Align::right},
               {"glibc", Align::right},
               {"mimalloc", Align::right}});
  for (const auto& key : order) {
    const auto cell = [&](const char* impl) {
      const auto found = cells[key].find(impl);
      return found == cells[key].end() ? std::string("-") : fmt::format("{:.1f} ns", found->second);
    };
    table.add({key.first, std::to_string(key.second), cell("millrace"), cell("glibc"), cell("mimalloc")});
  }
  table.print(stdout);
  fmt::print("ns that one core spends on a pair, {} live blocks a thread, median\n", kLive);
}

Command bench_alloc_command(CLI::App& parent) {
  CLI::App* const app =
      parent.add_subcommand("alloc", "Free and allocate, by thread count, beside glibc and mimalloc");
  struct Request {
    AllocBenchRequest bench;
    std::string threads = "1,2,4,8";
    std::string json;
  };
  const auto request = std::make_shared<Request>();
  app->add_option("--threads", request->threads, "Thread counts, with commas between")->capture_default_str();
  app->add_option("--device", request->bench.device, "auto, host, or a name from `millrace devices`")
      ->capture_default_str();
  app->add_option("--repetitions", request->bench.repetitions, "Of each row; the median is shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_option("--milliseconds", request->bench.milliseconds, "Of each repetition")
      ->check(CLI::Range(1, 60'000))
      ->capture_default_str();
  app->add_option("--json", request->json, "Write JSON to a file, or to standard output for -");
  app->parse_complete_callback([request] { request->bench.threads = parse_threads(request->threads); });
  return {app, [request] {
            catch_interrupts();
            JsonOutput json(request->json);
            const std::vector<BenchRow> rows = bench_alloc(request->bench);
            nlohmann::ordered_json document = bench_json(rows);
            if (interrupted()) document["partial"] = true;
            json.write(document);
            if (!json.is_stdout()) print_alloc_bench(rows);
            if (interrupted() && !json.is_stdout()) fmt::print("partial: interrupted\n");
            return interrupted() ? kInterrupted : kDone;
          }};
}

}  // namespace millrace::tool
