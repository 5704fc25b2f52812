#include "bench/reduce_latency.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <millrace/device.h>
#include <millrace/reduce.h>

#include "bench/gpu_latency.h"
#include "bench/python_peer.h"
#include "bench/rounds.h"
#include "bench/spin_kernel.h"
#include "bench/status_line.h"
#include "interrupt.h"
#include "open_device.h"
#include "table.h"

namespace millrace::tool {
namespace {

constexpr std::int64_t kElements[] = {1024, 65'536, 1 << 20, 1 << 24};
constexpr int kLaunches = 100;
/// The value of each element: all sums of it are exact.
constexpr float kValue = 0.25F;

std::string case_of(std::int64_t elements, CacheBefore cache) {
  return fmt::format("latency{} sum {}", cache == CacheBefore::read ? " clean" : "", elements);
}

}  // namespace

BenchResult bench_reduce_latency(const std::string& name, const BenchOptions& options) {
  Device device = create_device(name, {});
  const std::string& number = device.info().name;
  select_cuda_device(std::atoi(number.substr(number.find(':') + 1).c_str()));
  PythonPeer peer(kTorchPeer, options.interpreters());
  StatusLine status;
  BenchResult result;
  GpuLatency latency;
  const StreamLease lease = device.wrap(latency.stream());
  Stream stream = lease.stream();
  const Buffer input = device.buffer(static_cast<std::size_t>(kElements[3]) * sizeof(float));
  const Buffer output = device.buffer(sizeof(float));
  const std::vector<float> values(static_cast<std::size_t>(kElements[3]), kValue);
  stream.copy(input.data(), values.data(), input.size());
  stream.commit().wait();
  for (const std::int64_t elements : kElements) {
    if (interrupted()) break;
    status.show(fmt::format("sum of {}", elements));
    const TensorView from = contiguous(input.data(), DType::f32, {elements});
    const TensorView to = contiguous(output.data(), DType::f32, {});
    for (const CacheBefore cache : {CacheBefore::written, CacheBefore::read}) {
      const Contestant ours = [&]() -> std::optional<double> {
        return 1e6 * latency.seconds(kLaunches, cache, [&] {
          reduce(stream, ReduceOp::sum, from, to, {});
          stream.commit();
        });
      };
      const Contestant theirs = [&]() -> std::optional<double> {
        const auto answer = peer.ask({{"do", "latency"},
                                      {"elements", elements},
                                      {"launches", kLaunches},
                                      {"clean", cache == CacheBefore::read},
                                      {"device", number}});
        if (!answer) return std::nullopt;
        return 1e6 * answer->at("seconds").get<double>();
      };
      const auto medians = median_of_rounds(options.repetitions, {ours, theirs});
      const std::string row = case_of(elements, cache);
      if (medians[0]) result.rows.push_back({"reduce", row, "f32", "millrace", 1, *medians[0], "us"});
      if (medians[1]) result.rows.push_back({"reduce", row, "f32", "torch", 1, *medians[1], "us"});
    }
    float found = 0;
    stream.copy(&found, output.data(), sizeof found);
    stream.commit().wait();
    if (found != kValue * static_cast<float>(elements)) {
      result.differences.push_back(fmt::format("the sum of {} times {} is {}", elements, kValue, found));
    }
  }
  result.torch = peer.description();
  result.more["device"] = number;
  return result;
}

void print_reduce_latency(const BenchResult& result, int rounds) {
  Table table({{"sum of", Align::right},
               {"millrace", Align::right},
               {"torch", Align::right},
               {"clean: millrace", Align::right},
               {"torch", Align::right}});
  for (const std::int64_t elements : kElements) {
    const auto cell = [&](CacheBefore cache, const char* impl) {
      const auto value =
          find_value(result.rows, {"reduce", case_of(elements, cache), "f32", impl, 1, 0, "us"});
      return value ? fmt::format("{:.2f}", *value) : std::string("-");
    };
    table.add({std::to_string(elements), cell(CacheBefore::written, "millrace"),
               cell(CacheBefore::written, "torch"), cell(CacheBefore::read, "millrace"),
               cell(CacheBefore::read, "torch")});
  }
  table.print(stdout);
  fmt::print(
      "us from the launch to the result in the GPU's memory, after 256 MiB were written (clean: read);\n"
      "median of {} launches and {} rounds in which both took turns\ntorch: {}\n",
      kLaunches, rounds, result.torch);
}

}  // namespace millrace::tool
