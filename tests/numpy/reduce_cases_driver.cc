// Runs the cases of a file and writes what came out: reduce_cases_driver [--direct] CASES RESULTS.
// test_reductions.py writes the one and judges the other; its Case.write describes the form.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/device.h>
#include <millrace/error.h>
#include <millrace/reduce.h>
#include <millrace/stream.h>

#include "reduce/plan.h"
#include "support/run_directly.h"

namespace millrace::test {
namespace {

/// A reduction or a statistics pass over a view into input, whose result goes to a view into output.
struct Case {
  bool is_statistics = false;
  ReduceOp op = ReduceOp::sum;
  TensorView input_view;   // data is null: the offset below says where it is
  TensorView output_view;  // the same
  Dims dims;
  ReduceOptions options;
  std::size_t input_offset = 0;  // of the view's first element in input, in bytes
  std::size_t output_offset = 0;
  std::vector<std::byte> input;
  std::vector<std::byte> output;  // what the memory around the results holds before; it must stay

  std::span<const std::int64_t> dims_span() const { return {dims.begin(), dims.end()}; }
};

/// Puts the result into the case's output. Throws Error.
class CaseRunner {
 public:
  virtual ~CaseRunner() = default;
  virtual void run(Case& one) = 0;
};

constexpr std::uint8_t kStatisticsOp = kReduceOpCount;

template <typename T>
T read(std::istream& in) {
  T value{};
  in.read(reinterpret_cast<char*>(&value), sizeof value);
  if (!in) throw std::runtime_error("the file of cases is truncated");
  return value;
}

Dims read_dims(std::istream& in, int count) {
  Dims dims;
  for (int i = 0; i < count; ++i) dims.push_back(read<std::int64_t>(in));
  return dims;
}

std::vector<std::byte> read_bytes(std::istream& in, std::uint64_t count) {
  std::vector<std::byte> bytes(count);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(count));
  if (!in) throw std::runtime_error("the file of cases is truncated");
  return bytes;
}

Case read_case(std::istream& in) {
  Case one;
  const auto op = read<std::uint8_t>(in);
  one.is_statistics = op == kStatisticsOp;
  one.op = one.is_statistics ? ReduceOp::sum : static_cast<ReduceOp>(op);
  one.input_view.dtype = static_cast<DType>(read<std::uint8_t>(in));
  one.output_view.dtype = static_cast<DType>(read<std::uint8_t>(in));
  const int rank = read<std::uint8_t>(in);
  const int dims = read<std::uint8_t>(in);
  const int output_rank = read<std::uint8_t>(in);
  one.input_view.shape = read_dims(in, rank);
  one.input_view.strides = read_dims(in, rank);
  one.dims = read_dims(in, dims);
  one.output_view.shape = read_dims(in, output_rank);
  one.output_view.strides = read_dims(in, output_rank);
  one.input_offset = read<std::uint64_t>(in);
  one.output_offset = read<std::uint64_t>(in);
  const auto input_bytes = read<std::uint64_t>(in);
  const auto output_bytes = read<std::uint64_t>(in);
  one.options.correction = read<double>(in);
  one.input = read_bytes(in, input_bytes);
  one.output = read_bytes(in, output_bytes);
  return one;
}

void write_result(std::ostream& out, bool failed, const void* data, std::size_t bytes) {
  const std::uint8_t status = failed ? 1 : 0;
  const std::uint64_t length = bytes;
  out.write(reinterpret_cast<const char*>(&status), sizeof status);
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
}

/// The public way: a device, its memory, a stream.
class DeviceRunner final : public CaseRunner {
 public:
  explicit DeviceRunner(const std::string& device) : device_(Device::create(device, {.workers = 4})) {}

  void run(Case& one) override {
    Stream stream = device_.stream();
    const Buffer input = device_.buffer(one.input.size());
    const Buffer output = device_.buffer(one.output.size());
    stream.copy(input.data(), one.input.data(), one.input.size());
    stream.copy(output.data(), one.output.data(), one.output.size());
    one.input_view.data = input.as<std::byte>() + one.input_offset;
    std::byte* const result = output.as<std::byte>() + one.output_offset;
    try {
      if (one.is_statistics) {
        statistics(stream, one.input_view, reinterpret_cast<Statistics*>(result), one.dims_span());
      } else {
        one.output_view.data = result;
        reduce(stream, one.op, one.input_view, one.output_view, one.dims_span(), one.options);
      }
    } catch (...) {
      stream.wait();  // the copies read what the caller is about to free
      throw;
    }
    stream.copy(one.output.data(), output.data(), one.output.size());
    stream.wait();
  }

 private:
  Device device_;
};

/// Planner and loops alone, on the calling thread: tells their mistakes from those of the runtime.
class DirectRunner final : public CaseRunner {
 public:
  void run(Case& one) override {
    one.input_view.data = one.input.data() + one.input_offset;
    void* output = one.output.data() + one.output_offset;
    if (one.is_statistics) {
      run_directly(statistics_operation(one.input_view, static_cast<Statistics*>(output), one.dims_span()));
      return;
    }
    one.output_view.data = output;
    run_directly(reduction_operation(one.op, one.input_view, one.output_view, one.dims_span(), one.options));
  }
};

/// On the device of that name, or directly for an empty one.
int run_all(const std::string& device, const char* cases, const char* results) {
  std::ifstream in(cases, std::ios::binary);
  std::ofstream out(results, std::ios::binary);
  std::unique_ptr<CaseRunner> runner;
  if (device.empty()) {
    runner = std::make_unique<DirectRunner>();
  } else {
    runner = std::make_unique<DeviceRunner>(device);
  }
  const auto count = read<std::uint32_t>(in);
  for (std::uint32_t i = 0; i < count; ++i) {
    Case one = read_case(in);
    try {
      runner->run(one);
      write_result(out, false, one.output.data(), one.output.size());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::InvalidArgument) throw;
      write_result(out, true, error.what(), std::strlen(error.what()));
    }
  }
  out.flush();
  if (!out) throw std::runtime_error(std::string("cannot write ") + results);
  return 0;
}

}  // namespace
}  // namespace millrace::test

int main(int argc, char** argv) {
  const bool direct = argc == 4 && std::string_view(argv[1]) == "--direct";
  const bool on_device = argc == 5 && std::string_view(argv[1]) == "--device";
  if (!direct && !on_device) {
    std::fprintf(stderr, "usage: reduce_cases_driver --direct | --device NAME CASES RESULTS\n");
    return 2;
  }
  try {
    return millrace::test::run_all(direct ? "" : argv[2], argv[argc - 2], argv[argc - 1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "reduce_cases_driver: %s\n", error.what());
    return 1;
  }
}
