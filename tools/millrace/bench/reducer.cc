#include "bench/reducer.h"

#include <chrono>
#include <cstddef>
#include <cstring>

#include <millrace/event.h>
#include <millrace/reduce.h>

#include "half.h"

namespace millrace::tool {
namespace {

double element_at(const std::byte* data, DType dtype, std::size_t index) {
  const auto load = [&]<typename T>(T value) {
    std::memcpy(&value, data + index * sizeof(T), sizeof(T));
    return value;
  };
  switch (dtype) {
    case DType::f32: return load(float{});
    case DType::f16: return from_f16(load(std::uint16_t{}));
    case DType::bf16: return from_bf16(load(std::uint16_t{}));
    default: return static_cast<double>(load(std::int64_t{}));
  }
}

}  // namespace

void Reducer::prepare(const ReduceCase& c, DType dtype) {
  outputs_.clear();
  shape_ = result_shape(c.shape, c.dims, false);
  for (const ReduceOp op : c.ops) {
    const DType result = result_dtype(op, dtype);
    outputs_.push_back(
        {device_.buffer(static_cast<std::size_t>(element_count(shape_)) * size_of(result)), result});
  }
  if (c.ops.empty()) outputs_.push_back({device_.buffer(sizeof(Statistics)), DType::f64});
}

std::uint64_t Reducer::result_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const Output& output : outputs_) bytes += output.memory.size();
  return bytes;
}

void Reducer::record(Stream stream, const ReduceCase& c, const TensorView& input) {
  const auto output = [&](std::size_t i) {
    return contiguous(outputs_[i].memory.data(), outputs_[i].dtype, shape_);
  };
  if (c.ops.empty()) {
    statistics(stream, input, outputs_[0].memory.as<Statistics>());
  } else if (c.ops.size() == 1) {
    reduce(stream, c.ops[0], input, output(0), c.dims);
  } else {
    reduce_with_positions(stream, c.ops[1], input, output(0), output(1), c.dims);
  }
}

double Reducer::seconds(const ReduceCase& c, const TensorView& input) {
  Stream stream = device_.stream();
  const auto start = std::chrono::steady_clock::now();
  record(stream, c, input);
  stream.commit().wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Reducer::seconds_each(const ReduceCase& c, std::span<const TensorView> inputs, int launches) {
  Stream stream = device_.stream();
  Event begin = device_.event();
  Event end = device_.event();
  record(stream, c, inputs.back());
  begin.record(stream);
  for (int i = 0; i < launches; ++i) record(stream, c, inputs[static_cast<std::size_t>(i) % inputs.size()]);
  end.record(stream);
  stream.commit().wait();
  return std::chrono::duration<double>(end.elapsed_since(begin)).count() / launches;
}

std::vector<double> Reducer::checks(const ReduceCase& c) {
  std::vector<double> checks;
  for (const Output& output : outputs_) {
    std::vector<std::byte> host(output.memory.size());
    device_.stream().copy(host.data(), output.memory.data(), host.size());
    device_.stream().wait();
    if (c.ops.empty()) {
      Statistics found;
      std::memcpy(&found, host.data(), sizeof(found));
      checks.push_back(found.sum);
      continue;
    }
    double sum = 0;
    for (std::size_t i = 0; i < host.size() / size_of(output.dtype); ++i) {
      sum += element_at(host.data(), output.dtype, i);
    }
    checks.push_back(sum);
  }
  return checks;
}

}  // namespace millrace::tool
