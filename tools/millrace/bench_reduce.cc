// millrace bench reduce: large reductions beside NumPy and beside reading the same memory; on a GPU beside
// PyTorch and CUB.
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <millrace/device.h>

#include "bench/options.h"
#include "bench/python_peer.h"
#include "bench/random_cases.h"
#include "bench/read_floor.h"
#include "bench/reduce_cases.h"
#include "bench/reduce_latency.h"
#include "bench/reduce_on_gpu.h"
#include "bench/reducer.h"
#include "bench/rounds.h"
#include "bench/status_line.h"
#include "byte_size.h"
#include "command.h"
#include "formats/file_format_error.h"
#include "interrupt.h"
#include "open_device.h"
#include "table.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

struct ReduceRequest {
  BenchOptions options;
  std::string device = "host";
  std::string size = "256MiB";
  std::string dtypes = "f32,bf16";
  GpuReduceRequest on_gpu;
  bool latency = false;
};

bool is_about_gpus(const ReduceRequest& request) {
  return request.latency || request.on_gpu.random != 0 || !request.on_gpu.wanted_case.empty();
}

DeviceOptions options_for(int workers) {
  DeviceOptions options;
  options.workers = workers;
  return options;
}

/// What the sides of a run share: one input, one device a thread count, one peer.
class ReduceBench {
 public:
  ReduceBench(const BenchOptions& options, std::uint64_t bytes)
      : options_(options), bytes_(bytes), peer_(kNumpyPeer, options.interpreters()) {
    for (const int threads : options.threads) {
      reducers_.push_back(std::make_unique<Reducer>(create_device("host", options_for(threads))));
    }
    input_ = reducers_.front()->buffer(bytes);
  }

  void measure(DType dtype) {
    fill_reduce_input(dtype, {input_.as<std::byte>(), bytes_});
    for (const ReduceCase& c : reduce_cases(bytes_ / size_of(dtype))) {
      if (interrupted()) return;
      status_.show(fmt::format("{} {}", c.name, to_string(dtype)));
      measure(c, dtype);
    }
  }

  BenchResult take() {
    result_.numpy = peer_.description();
    return std::move(result_);
  }

 private:
  void measure(const ReduceCase& c, DType dtype) {
    const TensorView input = contiguous(input_.data(), dtype, c.shape);
    const std::uint64_t read = static_cast<std::uint64_t>(c.elements()) * size_of(dtype);
    std::vector<Contestant> contestants;
    std::vector<BenchRow> rows;
    const auto add = [&](const char* impl, int threads, Contestant contestant) {
      rows.push_back({"reduce", c.name, std::string(to_string(dtype)), impl, threads, 0, "GB/s"});
      contestants.push_back(std::move(contestant));
    };
    for (std::size_t i = 0; i < reducers_.size(); ++i) {
      Reducer& reducer = *reducers_[i];
      const int threads = options_.threads[i];
      reducer.prepare(c, dtype);
      add("millrace", threads, [&, read] { return gigabytes_per_second(read, reducer.seconds(c, input)); });
      add("floor", threads, [this, threads] {
        return gigabytes_per_second(bytes_, time_reading({input_.as<std::byte>(), bytes_}, threads));
      });
    }
    std::optional<nlohmann::json> answer;
    add("numpy", 1, [&]() -> std::optional<double> {
      answer = peer_.ask({{"do", "reduce"},
                          {"dtype", to_string(dtype)},
                          {"elements", bytes_ / size_of(dtype)},
                          {"op", c.peer_op},
                          {"shape", std::vector(c.shape.begin(), c.shape.end())},
                          {"axes", std::vector(c.dims.begin(), c.dims.end())}});
      if (!answer) return std::nullopt;
      return gigabytes_per_second(read, answer->at("seconds").get<double>());
    });
    const std::vector<std::optional<double>> medians = median_of_rounds(options_.repetitions, contestants);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!medians[i]) continue;
      rows[i].value = *medians[i];
      result_.rows.push_back(rows[i]);
    }
    if (answer && !interrupted()) compare(c, dtype, answer->at("checks"));
  }

  void compare(const ReduceCase& c, DType dtype, const nlohmann::json& checks) {
    for (std::size_t i = 0; i < reducers_.size(); ++i) {
      const std::vector<double> found = reducers_[i]->checks(c);
      for (std::size_t k = 0; k < found.size(); ++k) {
        // Values are sums of many roundings to the type of the result, which is f32 in NumPy's bf16 rows.
        const bool index = !c.ops.empty() && c.ops[k] == ReduceOp::argmax;
        const double tolerance = index ? 0 : dtype == DType::bf16 ? 1e-2 : 1e-4;
        const nlohmann::json& check = checks.at(k);
        const bool same = check.is_null()
                              ? !std::isfinite(found[k])
                              : std::abs(found[k] - check.get<double>()) <= tolerance * check.get<double>();
        if (same) continue;
        result_.differences.push_back(fmt::format(
            "{} {}, {} threads: the outputs sum up to {}, NumPy's to {}", c.name, to_string(dtype),
            options_.threads[i], found[k], check.is_null() ? "infinity" : check.dump()));
      }
    }
  }

  const BenchOptions& options_;
  std::uint64_t bytes_;
  PythonPeer peer_;
  std::vector<std::unique_ptr<Reducer>> reducers_;  // before what is allocated on them
  Buffer input_;
  StatusLine status_;
  BenchResult result_;
};

/// f16 is a GPU's only: its sums are infinite, and NumPy's of what was widened are not.
std::vector<DType> parse_dtypes(const std::string& text, bool on_host) {
  std::vector<DType> dtypes;
  for (const std::string& item : CLI::detail::split(text, ',')) {
    const std::optional<DType> dtype = dtype_from(item);
    if (dtype != DType::f32 && dtype != DType::bf16 && (dtype != DType::f16 || on_host)) {
      throw UsageError(
          fmt::format("--dtype: expected some of f32, bf16 and, on a GPU, f16, with commas between, "
                      "found {}",
                      printable(text)));
    }
    dtypes.push_back(*dtype);
  }
  return dtypes;
}

void print_reduce_bench(const BenchResult& result, std::uint64_t bytes, const ReduceRequest& request) {
  Table table({{"reduction"},
               {"dtype"},
               {"threads", Align::right},
               {"millrace", Align::right},
               {"floor", Align::right},
               {"of floor", Align::right},
               {"numpy", Align::right},
               {"x numpy", Align::right}});
  for (const BenchRow& row : result.rows) {
    if (row.impl != "millrace") continue;
    BenchRow like = row;
    like.impl = "floor";
    const std::optional<double> floor = find_value(result.rows, like);
    like.impl = "numpy";
    like.threads = 1;
    const std::optional<double> numpy = find_value(result.rows, like);
    const auto cell = [](std::optional<double> value) {
      return value ? fmt::format("{:.1f}", *value) : std::string("-");
    };
    table.add({row.name, row.dtype, std::to_string(row.threads), cell(row.value), cell(floor),
               floor ? fmt::format("{:.0f}%", 100 * row.value / *floor) : "-", cell(numpy),
               numpy ? fmt::format("{:.1f}", row.value / *numpy) : "-"});
  }
  table.print(stdout);
  fmt::print("GB/s of input read, {} of it, median of {} rounds in which all took turns\n",
             format_byte_size(bytes), request.options.repetitions);
  fmt::print("max with index: both in one pass; NumPy's argmax and take_along_axis\n");
  fmt::print("floor: as many threads read the same memory and do nothing else\n");
  fmt::print("numpy: {}; one thread. It has no bf16: its rows shift uint16 into f32 first, as its users do\n",
             result.numpy);
}

}  // namespace

Command bench_reduce_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand(
      "reduce", "Large reductions, beside NumPy and reading the memory, or PyTorch and CUB on a GPU");
  const auto request = std::make_shared<ReduceRequest>();
  add_bench_options(*app, request->options, "");
  app->add_option("--device", request->device, "host, or a name from `millrace devices`")
      ->capture_default_str();
  app->add_option("--size", request->size, "Of the input, as 256MiB or 1GB")->capture_default_str();
  app->add_option("--dtype", request->dtypes, "Some of f32, bf16 and, on a GPU, f16, with commas between")
      ->capture_default_str();
  app->add_option("--case", request->on_gpu.wanted_case, "On a GPU: only those with this in their names");
  app->add_option("--random", request->on_gpu.random,
                  "On a GPU: so many random shapes of 256 MiB or more instead, up to --size with their gaps")
      ->check(CLI::Range(1, 10'000));
  app->add_option("--seed", request->on_gpu.seed, "Of --random")->capture_default_str();
  app->add_flag("--latency", request->latency, "On a GPU: full sums of few elements instead, one at a time");
  return {
      app, [request] {
        const std::uint64_t bytes =
            parse_size("--size", request->size, kFewestReduceElements * size_of(DType::f32));
        const std::vector<DType> wanted = parse_dtypes(request->dtypes, is_host(request->device));
        if (is_host(request->device)) {
          if (is_about_gpus(*request)) {
            throw UsageError(
                "--case, --random and --latency measure GPUs: name one with --device, as cuda:0");
          }
        } else if (request->latency) {
          return run_bench(
              request->options, [&] { return bench_reduce_latency(request->device, request->options); },
              [&](const BenchResult& result) { print_reduce_latency(result, request->options.repetitions); });
        } else {
          GpuReduceRequest& on_gpu = request->on_gpu;
          on_gpu.device = request->device;
          on_gpu.bytes = bytes;
          on_gpu.dtypes = wanted;
          if (on_gpu.random != 0)
            (void)parse_size("--size of --random", request->size, 2 * kLeastRandomBytes);
          return run_bench(
              request->options, [&] { return bench_reduce_on_gpu(on_gpu, request->options); },
              [&](const BenchResult& result) {
                print_reduce_on_gpu(result, bytes, request->options.repetitions);
              });
        }
        return run_bench(
            request->options,
            [&] {
              ReduceBench bench(request->options, bytes);
              for (const DType dtype : wanted) bench.measure(dtype);
              return bench.take();
            },
            [&](const BenchResult& result) { print_reduce_bench(result, bytes, *request); });
      }};
}

}  // namespace millrace::tool
