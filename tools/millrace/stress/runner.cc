#include "stress/runner.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "open_device.h"
#include "stress/kinds.h"

namespace millrace::tool {
namespace {

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "something that is no std::exception";
  }
}

constexpr StressKind kKinds[] = {
    {"reduce", "Reduce", 100, stress_reduce},         {"alloc", "Alloc", 20'000, stress_alloc},
    {"streams", "Stream", 1'000, stress_streams},     {"events", "Event", 1'000, stress_events},
    {"guards", "Guard", 2'000, stress_guards},        {"handlers", "Handler", 10'000, stress_handlers},
    {"lifecycle", "Lifecycle", 50, stress_lifecycle}, {"faults", "Fault", 200, stress_faults},
};

}  // namespace

void Findings::error(std::string text) {
  const std::lock_guard lock(mutex_);
  ++errors_;
  if (first_.size() < kKept) first_.push_back(std::move(text));
}

std::uint64_t Findings::errors() const {
  const std::lock_guard lock(mutex_);
  return errors_;
}

std::vector<std::string> Findings::first() const {
  const std::lock_guard lock(mutex_);
  return first_;
}

std::span<const StressKind> stress_kinds() {
  return kKinds;
}

StressReport run_stress(const StressKind& kind, const StressOptions& options) {
  StressReport report;
  report.expected = options.iterations;
  Findings findings;
  const auto start = std::chrono::steady_clock::now();
  try {
    report.done = kind.body(options, findings);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::Unsupported) throw;  // without a device there is nothing to stress
    findings.error(error.what());
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.errors = findings.errors();
  report.differences = findings.first();
  return report;
}

void print_stress(const StressKind& kind, const StressReport& report, const StressOptions& options) {
  fmt::print("{} ops: {}/{} in {:.2f}s, errors={}\n", kind.noun, report.done, report.expected, report.seconds,
             report.errors);
  for (const std::string& difference : report.differences) fmt::print("  {}\n", difference);
  if (!report.passed()) {
    fmt::print("  to repeat: millrace stress {} --threads {} --iterations {} --seed {} --device {}{}{}\n",
               kind.name, options.threads, options.iterations, options.seed, options.device,
               options.chaos ? " --chaos" : "", options.protect ? " --protect" : "");
  }
  fmt::print("{} operations stress test: {}\n", kind.noun, report.passed() ? "PASS" : "FAIL");
}

Device stress_device(const StressOptions& options, DeviceOptions device) {
  if (options.chaos) device.chaos = options.seed;
  device.protect = options.protect;
  return create_device(options.device, device);
}

std::uint64_t for_each_iteration(const StressOptions& options, Findings& findings,
                                 const std::function<void(std::uint64_t, Random&)>& body) {
  // relaxed: the numbers are handed out once each, and the joins hand the results over.
  std::atomic<std::uint64_t> next{0};
  std::atomic<std::uint64_t> done{0};
  const auto work = [&] {
    for (;;) {
      const std::uint64_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= options.iterations) return;
      Random random(options.seed, index);
      attempt(findings, fmt::format("iteration {}", index), [&] {
        body(index, random);
        done.fetch_add(1, std::memory_order_relaxed);
      });
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(options.threads));
  for (int i = 0; i < options.threads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  return done.load(std::memory_order_relaxed);
}

Settled::~Settled() {
  try {
    stream_.wait();
  } catch (const Error&) {
    // Whoever waited before has been told, and on the way out of a failure it adds nothing.
  }
}

void attempt(Findings& findings, const std::string& what, const std::function<void()>& action) {
  try {
    action();
  } catch (...) {
    findings.error(fmt::format("{}: {}", what, message_of(std::current_exception())));
  }
}

void check_device_at_rest(Device device, Findings& findings) {
  attempt(findings, "after the work", [&] {
    device.synchronize();
    for (const MissingDependency& missing : device.missing_dependencies()) {
      findings.error(fmt::format("missing dependency: {} on stream {} and {} on stream {}, {} bytes at {}",
                                 missing.earlier.operation, missing.earlier.stream, missing.later.operation,
                                 missing.later.stream, missing.bytes, missing.address));
    }
    for (const MemoryKind kind : {MemoryKind::device, MemoryKind::pinned}) {
      const MemoryStats memory = device.memory(kind);
      if (memory.live != 0) {
        findings.error(fmt::format("{} bytes are still live after all was freed", memory.live));
      }
      if (memory.allocations != memory.frees) {
        findings.error(fmt::format("{} allocations but {} frees", memory.allocations, memory.frees));
      }
    }
    device.check_accounting();
  });
}

}  // namespace millrace::tool
