// What a backend can be asked to do: the operations of the device contract.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include <millrace/reduction.h>
#include <millrace/stream.h>
#include <millrace/tensor.h>

#include "device/graph.h"
#include "device/uses.h"
#include "sync/ref.h"

namespace millrace {

struct CopyWork {
  void* to = nullptr;
  const void* from = nullptr;
  std::size_t bytes = 0;
};

struct FillWork {
  void* to = nullptr;
  std::uint8_t value = 0;
  std::size_t bytes = 0;
};

struct TaskWork {
  HostTask task;
};

/// A reduction that the reduce layer has checked and normalised. Strides count elements, those of the output
/// results.
///
/// The result at (i...) of kept is the reduction over all (j...) of reduced of the input at
/// i*kept_strides + j*reduced_strides. Dimensions of size 1 are gone and neighbours that walk memory
/// as one are merged; reduced is ordered with the smallest absolute stride last, but for argmin and argmax,
/// whose positions count through reduced as it is: there it has the order of the input's dimensions, and
/// strides of either sign. Either list may be empty, which means one element. No size is zero unless count
/// says so.
struct ReduceWork {
  bool statistics = false;  ///< the results are Statistics; op and output_dtype do not count
  ReduceOp op = ReduceOp::sum;
  double correction = 0;  ///< var and std
  DType input_dtype = DType::f32;
  DType output_dtype = DType::f32;
  const void* input = nullptr;
  void* output = nullptr;
  void* values =
      nullptr;  ///< argmin and argmax: the elements found, with the output's strides; null: not wanted
  /// Backend::scratch_bytes of the device's memory, the work's alone until it is done; null where that is 0.
  void* scratch = nullptr;
  Dims kept, kept_strides, output_strides;
  Dims reduced, reduced_strides;
  std::int64_t kept_count = 1;
  std::int64_t reduced_count = 1;  ///< 0: the result is the operation's value for nothing
};

struct GraphWork {
  sync::Ref<DeviceGraph> graph;
};

using Work = std::variant<CopyWork, FillWork, TaskWork, ReduceWork, GraphWork>;

struct Operation {
  Work work;
  std::string name;  ///< for reports: "copy", a task's name, "sum"
  Uses uses;         ///< the device memory it touches
  SourcePlace place;
};

}  // namespace millrace
