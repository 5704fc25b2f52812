// What an operator's schema says about how it is run.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "ops/reductions.h"

namespace millrace_torch {

/// Of one operator of torch's. Made once, kept for ever.
///
/// Thread safety: any thread.
struct OperatorInfo {
  explicit OperatorInfo(const c10::OperatorHandle& op);

  /// What becomes of a result.
  enum class Result : std::uint8_t {
    argument,  ///< an argument, written to: in-place operators and out=
    view,      ///< shares an argument's memory
    tensor,    ///< new
    tensors,   ///< a list of new ones
    other,     ///< a number, say: known when the operator has run
  };
  struct Return {
    Result kind = Result::other;
    std::size_t argument = 0;  ///< of the first two
  };

  std::string name;  ///< as "aten::add.Tensor"
  std::size_t arguments = 0;
  std::vector<Return> returns;
  std::vector<bool> written;               ///< by argument
  std::vector<std::size_t> out_arguments;  ///< those of out=, which are resized to fit
  std::optional<std::size_t> generator;    ///< the argument that is one
  std::optional<std::size_t> device;       ///< the argument that is one
  std::optional<std::size_t> trains;       ///< the argument of that meaning
  bool is_view = false;
  const Reduction* reduction = nullptr;  ///< that the runtime has, perhaps not for all types
  std::int64_t many_numbers = 0;         ///< so many are enough for its kernel to be divided between threads
  bool indexes = false;                  ///< its second argument are indices, which may be the CPU's
  bool meta_alerts = false;              ///< its meta kernel takes it for CUDA's, which is not deterministic
  /// The operator that writes the same results to out= arguments, which follow the others.
  std::optional<c10::OperatorHandle> out_variant;
  std::optional<c10::OperatorHandle> functional;  ///< whose out_variant it is
  bool pointwise = false;                         ///< may write to what it reads
  /// The shape of a result is known when it has run, or it has no meta kernel: it runs while its caller
  /// waits.
  mutable std::atomic<bool> waits{false};
};

const OperatorInfo& info_of(const c10::OperatorHandle& op);

}  // namespace millrace_torch
