// millrace bench small: small reductions from many threads, an operation a commit and many.
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <millrace/device.h>
#include <millrace/reduce.h>

#include "bench/numpy_peer.h"
#include "bench/options.h"
#include "bench/rounds.h"
#include "bench/status_line.h"
#include "bench/timed_threads.h"
#include "command.h"
#include "interrupt.h"
#include "open_device.h"
#include "table.h"

namespace millrace::tool {
namespace {

constexpr std::int64_t kElements = 4096;
constexpr std::int64_t kSide = 64;
constexpr std::uint64_t kMix = 4;     // the kinds of operations, in turn
constexpr std::uint64_t kBatch = 16;  // operations a commit
constexpr const char* kLatency = "latency";
constexpr const char* kBatched = "batched";

/// One thread's reductions on its own stream.
class SmallReductions final : public TimedWork {
 public:
  SmallReductions(Device device, bool batched)
      : batched_(batched),
        stream_(device.stream()),
        input_(device.buffer(kElements * sizeof(float))),
        outputs_(device.buffer(kMix * kSide * sizeof(float))) {
    const TensorView flat = contiguous(input_.data(), DType::f32, {kElements});
    const TensorView square = contiguous(input_.data(), DType::f32, {kSide, kSide});
    const auto output = [&](std::int64_t number, const Dims& shape) {
      return contiguous(outputs_.as<float>() + number * kSide, DType::f32, shape);
    };
    operations_ = {{ReduceOp::sum, flat, output(0, {}), {}},
                   {ReduceOp::sum, square, output(1, {kSide}), {0}},
                   {ReduceOp::mean, square, output(2, {kSide}), {1}},
                   {ReduceOp::max, flat, output(3, {}), {}}};
  }

  void warm_up() override {
    const std::vector<float> ones(kElements, 1.0F);
    stream_.copy(input_.data(), ones.data(), input_.size());
    stream_.wait();
    for (int i = 0; i < 100; ++i) run();
  }

  std::uint64_t run() override {
    const std::uint64_t count = batched_ ? kBatch : kMix;
    for (std::uint64_t i = 0; i < count; ++i) {
      const Operation& operation = operations_[i % kMix];
      reduce(stream_, operation.op, operation.input, operation.output, operation.dims);
      if (!batched_) stream_.commit().wait();
    }
    if (batched_) stream_.commit().wait();
    return count;
  }

 private:
  struct Operation {
    ReduceOp op;
    TensorView input, output;
    Dims dims;
  };
  bool batched_;
  Stream stream_;
  Buffer input_, outputs_;
  std::vector<Operation> operations_;
};

struct SmallRequest {
  BenchOptions options;
  int milliseconds = 100;
};

BenchResult bench_small(const SmallRequest& request) {
  DeviceOptions device_options;
  for (const int threads : request.options.threads) {
    device_options.streams = std::max(device_options.streams, threads + 1);  // one each, and the default one
  }
  const Device device = create_device("host", device_options);
  NumpyPeer peer(request.options.interpreters());
  StatusLine status;
  BenchResult result;
  for (const int threads : request.options.threads) {
    if (interrupted()) break;
    status.show(fmt::format("{} threads", threads));
    const auto millrace = [&](bool batched) -> Contestant {
      return [&, batched] {
        const TimedRun run = run_timed(threads, std::chrono::milliseconds(request.milliseconds), [&](int) {
          return std::make_unique<SmallReductions>(device, batched);
        });
        return static_cast<double>(run.operations) / run.seconds;
      };
    };
    const Contestant numpy = [&]() -> std::optional<double> {
      const auto answer =
          peer.ask({{"do", "small"}, {"threads", threads}, {"seconds", request.milliseconds / 1000.0}});
      if (!answer) return std::nullopt;
      return answer->at("operations_per_second").get<double>();
    };
    const auto medians =
        median_of_rounds(request.options.repetitions, {millrace(false), millrace(true), numpy});
    const auto add = [&](const char* name, const char* impl, std::optional<double> operations) {
      if (!operations) return;
      result.rows.push_back({"small", name, "f32", impl, threads, *operations, "ops/s"});
      if (std::string_view(name) == kBatched) return;
      result.rows.push_back({"small", name, "f32", impl, threads, 1e6 * threads / *operations, "us"});
    };
    add(kLatency, "millrace", medians[0]);
    add(kBatched, "millrace", medians[1]);
    add(kLatency, "numpy", medians[2]);
  }
  result.numpy = peer.description();
  return result;
}

void print_small_bench(const BenchResult& result, const SmallRequest& request) {
  Table table({{"threads", Align::right},
               {"one a commit", Align::right},
               {"us each", Align::right},
               {fmt::format("{} a commit", kBatch), Align::right},
               {"numpy", Align::right},
               {"us each", Align::right},
               {"batched x numpy", Align::right}});
  for (const int threads : request.options.threads) {
    const auto value = [&](const char* name, const char* impl, const char* unit) {
      return find_value(result.rows, {"small", name, "f32", impl, threads, 0, unit});
    };
    const auto thousands = [](std::optional<double> operations) {
      return operations ? fmt::format("{:.0f} k/s", *operations / 1000) : std::string("-");
    };
    const auto micros = [](std::optional<double> us) {
      return us ? fmt::format("{:.1f}", *us) : std::string("-");
    };
    const auto batched = value(kBatched, "millrace", "ops/s");
    if (!batched) continue;
    const auto numpy = value(kLatency, "numpy", "ops/s");
    table.add({std::to_string(threads), thousands(value(kLatency, "millrace", "ops/s")),
               micros(value(kLatency, "millrace", "us")), thousands(batched), thousands(numpy),
               micros(value(kLatency, "numpy", "us")),
               numpy ? fmt::format("{:.1f}", *batched / *numpy) : "-"});
  }
  table.print(stdout);
  fmt::print(
      "reductions of 4,096 f32 in all threads a second (sum, sum over 0, mean over 1 and max, in turn), "
      "each\n"
      "thread on its own stream; median of {} rounds in which all took turns\n",
      request.options.repetitions);
  fmt::print("numpy: {}; as many Python threads\n", result.numpy);
}

}  // namespace

Command bench_small_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand("small", "Small reductions from many threads, beside NumPy");
  const auto request = std::make_shared<SmallRequest>();
  add_bench_options(*app, request->options, "1,2,4,8");
  app->add_option("--milliseconds", request->milliseconds, "Of each measurement")
      ->check(CLI::Range(1, 60'000))
      ->capture_default_str();
  return {app, [request] {
            return run_bench(
                request->options, [&] { return bench_small(*request); },
                [&](const BenchResult& result) { print_small_bench(result, *request); });
          }};
}

}  // namespace millrace::tool
