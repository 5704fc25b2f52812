// A device's reductions of `bench reduce`: timed, and added up to be held against a peer's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <millrace/device.h>
#include <millrace/tensor.h>

#include "bench/reduce_cases.h"

namespace millrace::tool {

/// Thread safety: one thread, whose stream it uses.
class Reducer {
 public:
  explicit Reducer(Device device) : device_(std::move(device)) {}

  const Device& device() const { return device_; }
  Buffer buffer(std::uint64_t bytes) { return device_.buffer(static_cast<std::size_t>(bytes)); }

  /// Memory for the results of a case, so that none is allocated within the time.
  void prepare(const ReduceCase& c, DType dtype);

  /// Of that memory.
  std::uint64_t result_bytes() const noexcept;

  /// From recording one to its end, by the host's clock. The input may be another host device's memory.
  double seconds(const ReduceCase& c, const TensorView& input);
  /// Of one of so many, back to back, of the inputs in turn, by the device's clock; after one that is not
  /// timed.
  double seconds_each(const ReduceCase& c, std::span<const TensorView> inputs, int launches);

  /// The sum over each output, for the peer to be held against; of statistics the sum they found.
  std::vector<double> checks(const ReduceCase& c);

 private:
  struct Output {
    Buffer memory;
    DType dtype;
  };

  void record(Stream stream, const ReduceCase& c, const TensorView& input);

  Device device_;
  Dims shape_;
  std::vector<Output> outputs_;
};

}  // namespace millrace::tool
