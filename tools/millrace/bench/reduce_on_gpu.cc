#include "bench/reduce_on_gpu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "bench/gpu_peers.h"
#include "bench/random_cases.h"
#include "bench/reduce_cases.h"
#include "bench/reducer.h"
#include "bench/rounds.h"
#include "bench/spin_kernel.h"
#include "bench/status_line.h"
#include "byte_size.h"
#include "interrupt.h"
#include "open_device.h"
#include "table.h"

namespace millrace::tool {
namespace {

/// Back to back: what the first of them waits for is little beside all.
constexpr int kLaunches = 20;
/// Together the inputs are several times what a GPU's cache holds.
constexpr std::uint64_t kInputBytes = std::uint64_t{512} << 20;
constexpr std::uint64_t kMostInputs = 8;

class GpuBench {
 public:
  GpuBench(const GpuReduceRequest& request, const BenchOptions& options)
      : options_(options),
        request_(request),
        bytes_(request.bytes),
        reducer_(create_device(request.device, {})),
        peer_(kTorchPeer, options.interpreters()) {
    const std::string& name = reducer_.device().info().name;
    select_cuda_device(std::atoi(name.substr(name.find(':') + 1).c_str()));
    const std::uint64_t inputs = std::clamp<std::uint64_t>(kInputBytes / bytes_ + 1, 2, kMostInputs);
    for (std::uint64_t i = 0; i < inputs; ++i) {
      inputs_.push_back(reducer_.buffer(bytes_));
      addresses_.push_back(inputs_.back().data());
    }
  }

  /// Of each type.
  void measure() {
    const auto types = static_cast<int>(request_.dtypes.size());
    int first = 0;
    for (int i = 0; i < types; ++i) {
      // As many as the others, and the last ones what is left.
      const int count = (request_.random - first) / (types - i);
      const DType dtype = request_.dtypes[static_cast<std::size_t>(i)];
      measure(dtype, request_.random == 0 ? reduce_cases(bytes_ / size_of(dtype))
                                          : random_cases(dtype, bytes_, first, count, request_.seed));
      first += count;
    }
  }

  BenchResult take() {
    result_.torch = peer_.description();
    result_.more["device"] = reducer_.device().info().name;
    result_.more["bytes"] = bytes_;
    result_.more["floor"] = kReadingLaunches;
    if (request_.random != 0) result_.more["seed"] = request_.seed;
    return std::move(result_);
  }

 private:
  void measure(DType dtype, const std::vector<ReduceCase>& cases) {
    std::vector<std::byte> values(bytes_);
    fill_reduce_input(dtype, values);
    Device device = reducer_.device();
    for (const Buffer& input : inputs_) device.stream().copy(input.data(), values.data(), values.size());
    device.stream().wait();
    for (const ReduceCase& c : cases) {
      if (interrupted()) return;
      if (c.name.find(request_.wanted_case) == std::string::npos) continue;
      status_.show(fmt::format("{} {}", c.name, to_string(dtype)));
      measure(c, dtype);
    }
  }

  void measure(const ReduceCase& c, DType dtype) {
    std::vector<TensorView> inputs;
    const Dims strides = c.strides.empty() ? contiguous_strides(c.shape) : c.strides;
    for (const Buffer& input : inputs_) inputs.push_back({input.data(), dtype, c.shape, strides});
    const std::uint64_t read = static_cast<std::uint64_t>(c.elements()) * size_of(dtype);
    const GpuInputs addresses{addresses_, static_cast<std::size_t>(read)};
    std::vector<Contestant> contestants;
    std::vector<BenchRow> rows;
    reducer_.prepare(c, dtype);
    std::uint64_t used = read + reducer_.result_bytes();
    const auto add = [&](const char* impl, auto seconds) {
      rows.push_back({"reduce", c.name, std::string(to_string(dtype)), impl, 1, 0, "GB/s"});
      contestants.push_back([used, seconds]() -> std::optional<double> {
        const std::optional<double> taken = seconds();
        if (!taken) return std::nullopt;
        return gigabytes_per_second(used, *taken);
      });
    };
    using Seconds = std::optional<double>;
    add("millrace", [&]() -> Seconds { return reducer_.seconds_each(c, inputs, kLaunches); });
    used = read;
    add("floor", [&]() -> Seconds { return time_reading_on_gpu(addresses, kLaunches); });
    used += reducer_.result_bytes();
    if (const std::optional<std::int64_t> rows_of_cub = cub_rows(c, dtype)) {
      add("cub", [&, n = *rows_of_cub]() -> Seconds { return time_cub(c.ops[0], addresses, n, kLaunches); });
    }
    std::optional<nlohmann::json> answer;
    add("torch", [&]() -> Seconds {
      answer = peer_.ask({{"do", "reduce"},
                          {"dtype", to_string(dtype)},
                          {"elements", bytes_ / size_of(dtype)},
                          {"op", c.peer_op},
                          {"shape", std::vector(c.shape.begin(), c.shape.end())},
                          {"strides", std::vector(strides.begin(), strides.end())},
                          {"axes", std::vector(c.dims.begin(), c.dims.end())},
                          {"inputs", inputs_.size()},
                          {"launches", kLaunches},
                          {"device", reducer_.device().info().name}});
      if (!answer) return std::nullopt;
      return answer->at("seconds").get<double>();
    });
    const std::vector<std::optional<double>> medians = median_of_rounds(options_.repetitions, contestants);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!medians[i]) continue;
      rows[i].value = *medians[i];
      result_.rows.push_back(rows[i]);
    }
    if (answer && !interrupted()) compare(c, dtype, answer->at("checks"));
  }

  /// Of how many rows CUB is asked; nothing where it is no peer.
  static std::optional<std::int64_t> cub_rows(const ReduceCase& c, DType dtype) {
    if (dtype != DType::f32 || c.ops.size() != 1 || !c.strides.empty() || !has_cub_reduction(c.ops[0]))
      return std::nullopt;
    if (c.dims.empty()) return 1;
    const bool last_of_two = c.shape.size() == 2 && c.dims.size() == 1 && c.dims[0] == 1;
    return last_of_two ? std::optional(c.shape[0]) : std::nullopt;
  }

  void compare(const ReduceCase& c, DType dtype, const nlohmann::json& checks) {
    const std::vector<double> found = reducer_.checks(c);
    for (std::size_t k = 0; k < found.size(); ++k) {
      // Which of several equal elements it names PyTorch does not say.
      if (!c.ops.empty() && c.ops[k] == ReduceOp::argmax) continue;
      // Values are sums of many roundings to the type of the result.
      const double tolerance = dtype == DType::f32 ? 1e-4 : 1e-2;
      const nlohmann::json& check = checks.at(k);
      const bool same = check.is_null()
                            ? !std::isfinite(found[k])
                            : std::abs(found[k] - check.get<double>()) <= tolerance * check.get<double>();
      if (same) continue;
      result_.differences.push_back(fmt::format("{} {}: the outputs sum up to {}, PyTorch's to {}", c.name,
                                                to_string(dtype), found[k],
                                                check.is_null() ? "infinity" : check.dump()));
    }
  }

  const BenchOptions& options_;
  const GpuReduceRequest& request_;
  const std::uint64_t bytes_;
  Reducer reducer_;  // before what is allocated on its device
  PythonPeer peer_;
  std::vector<Buffer> inputs_;
  std::vector<const void*> addresses_;  // of inputs_
  StatusLine status_;
  BenchResult result_;
};

}  // namespace

BenchResult bench_reduce_on_gpu(const GpuReduceRequest& request, const BenchOptions& options) {
  GpuBench bench(request, options);
  bench.measure();
  return bench.take();
}

void print_reduce_on_gpu(const BenchResult& result, std::uint64_t bytes, int rounds) {
  Table table({{"reduction"},
               {"dtype"},
               {"millrace", Align::right},
               {"reading", Align::right},
               {"of reading", Align::right},
               {"torch", Align::right},
               {"x torch", Align::right},
               {"cub", Align::right}});
  for (const BenchRow& row : result.rows) {
    if (row.impl != "millrace") continue;
    const auto of = [&](const char* impl) {
      BenchRow like = row;
      like.impl = impl;
      return find_value(result.rows, like);
    };
    const auto cell = [](std::optional<double> value) {
      return value ? fmt::format("{:.0f}", *value) : std::string("-");
    };
    const std::optional<double> floor = of("floor");
    const std::optional<double> torch = of("torch");
    table.add({row.name, row.dtype, cell(row.value), cell(floor),
               floor ? fmt::format("{:.0f}%", 100 * row.value / *floor) : "-", cell(torch),
               torch ? fmt::format("{:.2f}", row.value / *torch) : "-", cell(of("cub"))});
  }
  table.print(stdout);
  fmt::print(
      "GB/s of what is read and written, inputs of {}, {} launches back to back over inputs in turn; median "
      "of\n"
      "{} rounds in which all took turns\n",
      format_byte_size(bytes), kLaunches, rounds);
  if (result.more.contains("seed")) fmt::print("seed {}\n", result.more.at("seed").get<std::uint64_t>());
  fmt::print("reading: a kernel that reads the same and adds nothing up, {}\n", kReadingLaunches);
  fmt::print("torch: {}\n", result.torch);
  fmt::print("cub: DeviceReduce and DeviceSegmentedReduce, where they do it in f32\n");
}

}  // namespace millrace::tool
