// Reductions that a thread has asked for before: what was checked and planned then need not be again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <millrace/reduction.h>
#include <millrace/stream.h>
#include <millrace/tensor.h>

#include "device/context.h"
#include "device/operation.h"

namespace millrace {

/// One call of reduce, but for the device.
struct ReduceRequest {
  ReduceOp op;
  const TensorView& input;
  const TensorView& output;
  std::span<const std::int64_t> dims;
  const ReduceOptions& options;
  SourcePlace place;
};

/// Something to record, and what it needs besides the tensors (Backend::scratch_bytes).
struct PlannedReduction {
  Operation operation;
  std::size_t scratch_bytes = 0;
};

/// The last few kinds of requests of a thread on a device: types, shapes, strides and dims, and where the
/// input begins within a vector of a device, which is what scratch depends on besides. Only requests that
/// throw nothing are remembered, and only those that would not are answered.
///
/// Thread safety: the context's owner.
class RememberedRequests final : public ContextPart {
 public:
  /// The context's, made if it has none. Throws std::bad_alloc.
  static RememberedRequests& of(Context& context);

  /// As reduction_operation plans it, which is asked where the request is none of those; throws what that
  /// does.
  PlannedReduction plan(Context& context, const ReduceRequest& request);

  void retire() noexcept override {}

 private:
  static constexpr std::size_t kKinds = 8;
  static constexpr std::uintptr_t kVector = 16;  // bytes

  /// Bytes from a view's data to the memory that it spans, and how many.
  struct Extent {
    std::ptrdiff_t from = 0;
    std::size_t bytes = 0;
  };

  struct Kind {
    bool known = false;
    ReduceOp op = ReduceOp::sum;
    double correction = 0;
    DType input_dtype = DType::f32, output_dtype = DType::f32;
    std::uintptr_t input_in_vector = 0;
    Dims input_shape, input_strides, output_shape, output_strides, dims;
    // The answer, for tensors at address 0.
    ReduceWork work;
    Extent input, output;
    std::ptrdiff_t work_input = 0, work_output = 0;
    std::size_t scratch_bytes = 0;

    bool is_of(const ReduceRequest& request) const noexcept;
  };

  Kind* find(const ReduceRequest& request) noexcept;
  void remember(const ReduceRequest& request, const PlannedReduction& planned) noexcept;

  std::array<Kind, kKinds> kinds_;
  std::size_t next_ = 0;  ///< behind the one that was found last, since patterns repeat
};

}  // namespace millrace
