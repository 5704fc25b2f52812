// Stress: many threads use one device at once, and every result is checked against a reference.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <millrace/device.h>

#include "random.h"

namespace millrace::tool {

struct StressOptions {
  int threads = 8;
  std::uint64_t iterations = 0;  ///< over all threads
  std::uint64_t seed = 0;
  std::string device = "auto";
  bool chaos = false;    ///< random delays and a random order between streams
  bool protect = false;  ///< each use of memory is held against what orders it
};

/// What went wrong, from any thread: all counted, the first few kept.
///
/// Thread safety: any thread.
class Findings {
 public:
  static constexpr std::size_t kKept = 5;

  void error(std::string text);
  std::uint64_t errors() const;
  std::vector<std::string> first() const;

 private:
  mutable std::mutex mutex_;  // protects what follows
  std::uint64_t errors_ = 0;
  std::vector<std::string> first_;
};

struct StressReport {
  std::uint64_t done = 0;  ///< iterations that ran to their end
  std::uint64_t expected = 0;
  std::uint64_t errors = 0;
  double seconds = 0;
  std::vector<std::string> differences;

  bool passed() const { return errors == 0 && done == expected; }
};

/// One kind of stress. body runs all its iterations and reports to findings; returns how many ended.
struct StressKind {
  const char* name;          ///< on the command line
  const char* noun;          ///< in what is printed
  std::uint64_t iterations;  ///< when nobody says how many
  std::uint64_t (*body)(const StressOptions& options, Findings& findings);
};

std::span<const StressKind> stress_kinds();

/// Runs one kind. Throws what keeps it from starting: a device that does not exist.
StressReport run_stress(const StressKind& kind, const StressOptions& options);

/// "Reduce ops: 100/100 in 0.03s, errors=0", the first differences if any, and the verdict.
void print_stress(const StressKind& kind, const StressReport& report, const StressOptions& options);

/// A device of its own with the modes that were asked for.
Device stress_device(const StressOptions& options, DeviceOptions device = {});

/// Waits for a stream at the end of the scope, so that host memory which recorded work uses may end
/// after it, also when an exception leaves the scope.
class Settled {
 public:
  explicit Settled(Stream stream) : stream_(stream) {}
  Settled(const Settled&) = delete;
  Settled& operator=(const Settled&) = delete;
  ~Settled();

 private:
  Stream stream_;
};

/// Runs body(index, random) for each iteration on options.threads threads; random depends on the seed
/// and the index alone. What body throws is an error with the iteration's number. Returns how many
/// iterations were run to their end.
std::uint64_t for_each_iteration(const StressOptions& options, Findings& findings,
                                 const std::function<void(std::uint64_t index, Random& random)>& body);

/// Runs an action; what it throws is an error, told with what it was.
void attempt(Findings& findings, const std::string& what, const std::function<void()>& action);

/// After the work: protect mode found no missing dependency, all memory came back and the accounts add
/// up. Call once no other thread uses the device.
void check_device_at_rest(Device device, Findings& findings);

}  // namespace millrace::tool
