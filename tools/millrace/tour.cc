// millrace tour: the main job, shown to a visitor in under half a minute.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include <millrace/error.h>

#include "bench_alloc.h"
#include "command.h"
#include "devices.h"
#include "interrupt.h"
#include "sample.h"
#include "stats.h"
#include "stress/runner.h"

namespace millrace::tool {
namespace {

/// A folder that is gone after the tour.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-tour-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(), "cannot make a folder in " + name);
    }
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;  // a folder left behind is no reason to fail
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

void title(const char* text) {
  fmt::print("\n== {} ==\n", text);
  std::fflush(stdout);
}

bool stress_reductions(int threads) {
  const StressKind& reduce = stress_kinds().front();
  StressOptions options;
  options.threads = threads;
  options.iterations = reduce.iterations;
  options.seed = std::random_device()();
  const StressReport report = run_stress(reduce, options);
  fmt::print("{} threads: ", threads);
  print_stress(reduce, report, options);
  return report.passed();
}

int tour() {
  catch_interrupts();
  title("the devices of this machine (millrace devices)");
  print_devices();

  title("a checkpoint, made up for this tour (millrace sample, millrace stats)");
  const TemporaryFolder folder;
  const std::string path = folder.file("sample.safetensors");
  write_sample(path, 0);
  fmt::print("\n");
  StatsRequest request;
  request.paths = {path};
  if (const int code = stats(request); code != kDone) return code;

  title("many threads, one device, every sum checked (millrace stress reduce)");
  bool passed = stress_reductions(4);
  passed = stress_reductions(8) && passed;
  if (interrupted()) return kInterrupted;

  title("the allocator beside others, by thread count (millrace bench alloc)");
  AllocBenchRequest bench;
  bench.repetitions = 3;
  bench.milliseconds = 40;
  print_alloc_bench(bench_alloc(bench));
  if (interrupted()) return kInterrupted;

  title("next, with your own files");
  fmt::print(
      "  ./run stats model.safetensors            one file, or a folder of .safetensors, .npz and .npy\n"
      "  ./run stats model/ --memory-limit 64MiB  in pieces, however large the tensors are\n"
      "  ./run stats model/ --json -              for programs\n"
      "  ./run stress all                         everything the runtime does, from 8 threads\n"
      "  ./run --help\n");
  return passed ? kDone : kFoundErrors;
}

}  // namespace

Command tour_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand("tour", "Show the main job in under half a minute");
  return {app, tour};
}

}  // namespace millrace::tool
