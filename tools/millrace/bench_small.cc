// millrace bench small: small reductions from many threads, an operation a commit and many.
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <millrace/device.h>
#include <millrace/reduce.h>

#include "bench/options.h"
#include "bench/python_peer.h"
#include "bench/rounds.h"
#include "bench/status_line.h"
#include "bench/timed_threads.h"
#include "command.h"
#include "interrupt.h"
#include "open_device.h"
#include "table.h"

namespace millrace::tool {
namespace {

constexpr std::int64_t kUsualElements = 4096;
constexpr std::int64_t kMostElements = std::int64_t{1} << 22;  // sums of which are exact
constexpr std::uint64_t kMix = 4;                              // the kinds of operations, in turn
constexpr std::uint64_t kBatch = 16;                           // operations a commit
constexpr const char* kLatency = "latency";
constexpr const char* kBatched = "batched";
constexpr std::uint64_t kCheckedBatch = 64;
constexpr const char* kChecked = "checked";
constexpr std::uint64_t kRareBatch = 256;
constexpr const char* kRare = "rarely";

/// An operation of the mix, all but its output.
struct SmallOperation {
  ReduceOp op;
  TensorView input;
  Dims shape;  ///< of the output
  Dims dims;
};

std::vector<SmallOperation> small_operations(void* input, std::int64_t side) {
  const TensorView flat = contiguous(input, DType::f32, {side * side});
  const TensorView square = contiguous(input, DType::f32, {side, side});
  return {{ReduceOp::sum, flat, {}, {}},
          {ReduceOp::sum, square, {side}, {0}},
          {ReduceOp::mean, square, {side}, {1}},
          {ReduceOp::max, flat, {}, {}}};
}

std::size_t bytes_of(std::int64_t floats) {
  return static_cast<std::size_t>(floats) * sizeof(float);
}

/// One thread's reductions on its own stream.
class SmallReductions final : public TimedWork {
 public:
  SmallReductions(Device device, std::int64_t side, bool batched)
      : batched_(batched),
        stream_(device.stream()),
        input_(device.buffer(bytes_of(side * side))),
        outputs_(device.buffer(kMix * bytes_of(side))) {
    for (const SmallOperation& operation : small_operations(input_.data(), side)) {
      float* const output = outputs_.as<float>() + static_cast<std::int64_t>(operations_.size()) * side;
      operations_.push_back({operation, contiguous(output, DType::f32, operation.shape)});
    }
  }

  void warm_up() override {
    const std::vector<float> ones(input_.size() / sizeof(float), 1.0F);
    stream_.copy(input_.data(), ones.data(), input_.size());
    stream_.wait();
    for (int i = 0; i < 100; ++i) run();
  }

  std::uint64_t run() override {
    const std::uint64_t count = batched_ ? kBatch : kMix;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto& [operation, output] = operations_[i % kMix];
      reduce(stream_, operation.op, operation.input, output, operation.dims);
      if (!batched_) stream_.commit().wait();
    }
    if (batched_) stream_.commit().wait();
    return count;
  }

 private:
  struct Recorded {
    SmallOperation operation;
    TensorView output;
  };
  bool batched_;
  Stream stream_;
  Buffer input_, outputs_;
  std::vector<Recorded> operations_;
};

/// The same with an output that is allocated for each operation, read by the host and freed: in pinned
/// memory, so that reading it takes no copy.
class CheckedReductions final : public TimedWork {
 public:
  /// wrong: counts the results that are not what they should be.
  CheckedReductions(const Device& device, std::int64_t side, std::uint64_t batch,
                    std::atomic<std::uint64_t>& wrong)
      : wrong_(wrong),
        device_(device),
        stream_(device_.stream()),
        input_(device_.buffer(bytes_of(side * side))),
        values_(static_cast<std::size_t>(side * side)),
        operations_(small_operations(input_.data(), side)),
        outputs_(batch) {
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] = static_cast<float>(i % 7);
    double total = 0;
    for (const float value : values_) total += value;
    expected_ = {total, total, total / static_cast<double>(side), 6};
    for (const SmallOperation& operation : operations_) results_.push_back(element_count(operation.shape));
  }

  void warm_up() override {
    stream_.copy(input_.data(), values_.data(), input_.size());
    stream_.wait();
    for (int i = 0; i < 10; ++i) run();
  }

  std::uint64_t run() override {
    for (std::uint64_t i = 0; i < outputs_.size(); ++i) {
      const SmallOperation& operation = operations_[i % kMix];
      outputs_[i] = static_cast<float*>(device_.allocate_pinned(stream_, bytes_of(results_[i % kMix])));
      reduce(stream_, operation.op, operation.input, contiguous(outputs_[i], DType::f32, operation.shape),
             operation.dims);
    }
    stream_.commit().wait();
    for (std::uint64_t i = 0; i < outputs_.size(); ++i) {
      double sum = 0;
      for (std::int64_t k = 0; k < results_[i % kMix]; ++k) sum += outputs_[i][k];
      // Whole numbers and their parts by powers of two: exact. relaxed: read after the threads have ended.
      if (sum != expected_[i % kMix]) wrong_.fetch_add(1, std::memory_order_relaxed);
      device_.deallocate(outputs_[i]);
    }
    return outputs_.size();
  }

 private:
  std::atomic<std::uint64_t>& wrong_;
  Device device_;
  Stream stream_;
  Buffer input_;
  std::vector<float> values_;
  std::vector<SmallOperation> operations_;
  std::vector<std::int64_t> results_;  // of each operation
  std::vector<double> expected_;       // of all results of an operation together
  std::vector<float*> outputs_;        // of a batch
};

struct SmallRequest {
  BenchOptions options;
  std::string device = "host";
  int milliseconds = 100;
  std::int64_t elements = kUsualElements;

  std::int64_t side() const {
    std::int64_t side = 1;
    while (side * side < elements) side *= 2;
    return side;
  }
};

BenchResult bench_small(const SmallRequest& request) {
  DeviceOptions device_options;
  for (const int threads : request.options.threads) {
    device_options.streams = std::max(device_options.streams, threads + 1);  // one each, and the default one
  }
  const Device device = create_device(request.device, device_options);
  const bool on_host = is_host(request.device);
  const char* const peer_name = on_host ? "numpy" : "torch";
  PythonPeer peer(on_host ? kNumpyPeer : kTorchPeer, request.options.interpreters());
  std::atomic<std::uint64_t> wrong{0};
  StatusLine status;
  BenchResult result;
  for (const int threads : request.options.threads) {
    if (interrupted()) break;
    status.show(fmt::format("{} threads", threads));
    const auto millrace = [&](const char* name) -> Contestant {
      return [&, name] {
        const auto make = [&](int) -> std::unique_ptr<TimedWork> {
          const std::int64_t side = request.side();
          if (name == kChecked)
            return std::make_unique<CheckedReductions>(device, side, kCheckedBatch, wrong);
          if (name == kRare) return std::make_unique<CheckedReductions>(device, side, kRareBatch, wrong);
          return std::make_unique<SmallReductions>(device, side, name == kBatched);
        };
        const TimedRun run = run_timed(threads, std::chrono::milliseconds(request.milliseconds), make);
        return static_cast<double>(run.operations) / run.seconds;
      };
    };
    const Contestant theirs = [&]() -> std::optional<double> {
      const auto answer = peer.ask({{"do", "small"},
                                    {"threads", threads},
                                    {"seconds", request.milliseconds / 1000.0},
                                    {"side", request.side()}});
      if (!answer) return std::nullopt;
      return answer->at("operations_per_second").get<double>();
    };
    const auto medians = median_of_rounds(
        request.options.repetitions,
        {millrace(kLatency), millrace(kBatched), millrace(kChecked), millrace(kRare), theirs});
    const auto add = [&](const char* name, const char* impl, std::optional<double> operations) {
      if (!operations) return;
      result.rows.push_back({"small", name, "f32", impl, threads, *operations, "ops/s"});
      if (std::string_view(name) != kLatency) return;
      result.rows.push_back({"small", name, "f32", impl, threads, 1e6 * threads / *operations, "us"});
    };
    add(kLatency, "millrace", medians[0]);
    add(kBatched, "millrace", medians[1]);
    add(kChecked, "millrace", medians[2]);
    add(kRare, "millrace", medians[3]);
    add(on_host ? kLatency : kChecked, peer_name, medians[4]);
  }
  if (wrong != 0) result.differences.push_back(fmt::format("{} results are wrong", wrong.load()));
  (on_host ? result.numpy : result.torch) = peer.description();
  result.more["device"] = request.device;
  result.more["elements"] = request.elements;
  return result;
}

void print_small_bench(const BenchResult& result, const SmallRequest& request) {
  const bool on_host = is_host(request.device);
  const char* const peer = on_host ? "numpy" : "torch";
  Table table({{"threads", Align::right},
               {"one a commit", Align::right},
               {"us each", Align::right},
               {fmt::format("{} a commit", kBatch), Align::right},
               {fmt::format("{} a commit, checked", kCheckedBatch), Align::right},
               {fmt::format("{} a commit, checked", kRareBatch), Align::right},
               {peer, Align::right},
               {fmt::format("{} x {}", on_host ? kBatched : kChecked, peer), Align::right}});
  for (const int threads : request.options.threads) {
    const auto value = [&](const char* name, const char* impl, const char* unit) {
      return find_value(result.rows, {"small", name, "f32", impl, threads, 0, unit});
    };
    const auto thousands = [](std::optional<double> operations) {
      return operations ? fmt::format("{:.0f} k/s", *operations / 1000) : std::string("-");
    };
    const auto ours = value(on_host ? kBatched : kChecked, "millrace", "ops/s");
    if (!ours) continue;
    const auto us = value(kLatency, "millrace", "us");
    const auto theirs = value(on_host ? kLatency : kChecked, peer, "ops/s");
    table.add({std::to_string(threads), thousands(value(kLatency, "millrace", "ops/s")),
               us ? fmt::format("{:.1f}", *us) : "-", thousands(value(kBatched, "millrace", "ops/s")),
               thousands(value(kChecked, "millrace", "ops/s")), thousands(value(kRare, "millrace", "ops/s")),
               thousands(theirs), theirs ? fmt::format("{:.1f}", *ours / *theirs) : "-"});
  }
  table.print(stdout);
  fmt::print(
      "reductions of {} f32 in all threads a second (sum, sum over 0, mean over 1 and max, in turn), "
      "each\n"
      "thread on its own stream; median of {} rounds in which all took turns\n",
      request.elements, request.options.repetitions);
  fmt::print(
      "checked: an output in pinned memory is allocated for each, all results are read and compared\n");
  if (on_host) {
    fmt::print("numpy: {}; as many Python threads\n", result.numpy);
  } else {
    fmt::print(
        "torch: {}; as many Python threads, each on a stream, {} operations between two looks at their\n"
        "results\n",
        result.torch, kCheckedBatch);
  }
}

}  // namespace

Command bench_small_command(CLI::App& parent) {
  CLI::App* const app =
      parent.add_subcommand("small", "Small reductions from many threads, beside NumPy, or PyTorch on a GPU");
  const auto request = std::make_shared<SmallRequest>();
  add_bench_options(*app, request->options, "1,2,4,8");
  app->add_option("--device", request->device, "host, or a name from `millrace devices`")
      ->capture_default_str();
  app->add_option("--elements", request->elements, "Of each reduction: a power of four")
      ->check(CLI::Validator(
          [](std::string& text) {
            const std::int64_t elements = std::strtoll(text.c_str(), nullptr, 10);
            const bool fits = elements >= 16 && elements <= kMostElements &&
                              std::has_single_bit(static_cast<std::uint64_t>(elements)) &&
                              std::countr_zero(static_cast<std::uint64_t>(elements)) % 2 == 0;
            return fits ? std::string()
                        : fmt::format("{} is not a power of four from 16 to {}", text, kMostElements);
          },
          "POWER OF FOUR"))
      ->capture_default_str();
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
