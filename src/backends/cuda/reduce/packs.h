// Reductions that were recorded one after the other, gathered into few launches.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "backends/cuda/reduce/hazards.h"
#include "backends/cuda/reduce/pack.h"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/tickets.h"
#include "device/operation.h"
#include "device/status.h"

namespace millrace::cuda {

/// How a kind of reductions is done: all but the tensors, which many that follow each other have in common.
struct ReduceKind {
  ReduceWork work{};  ///< the first one's
  ReducePlan plan{};
  bool packable = false;
  std::size_t accumulator_bytes = 0;
  std::ptrdiff_t read_from = 0, write_from = 0;  ///< from the first element's and result's address
  std::size_t read_bytes = 0, written_bytes = 0;

  explicit ReduceKind(const ReduceWork& first) noexcept;
  /// Of no work.
  ReduceKind() noexcept { work.kept_count = -1; }
  /// Is the work of this kind?
  bool is_of(const ReduceWork& other) const noexcept;
  Touched touched(const ReduceWork& own) const noexcept;
};

/// For one stream, whose order stays what it is: a reduction that touches what one before it writes, or
/// writes what one before it reads, is launched after that (C11). Others are launched in any order.
///
/// Thread safety: one thread at a time.
class Packs {
 public:
  /// Takes the work, to be launched with its like, or launches it after all that was taken. It has results.
  /// A failure is that of a launch; what was taken and not launched is forgotten then.
  Status add(const ReduceWork& work, Tickets& tickets, cudaStream_t stream);
  /// Launches what was taken.
  Status launch(cudaStream_t stream);

 private:
  static constexpr std::size_t kKinds = 8;

  struct Gathered {
    ReduceKind kind;
    int count = 0;
    std::array<PackItem, kMostPackItems> items;
  };

  /// Where the work's like are gathered; null if that has failed.
  Gathered* find(const ReduceWork& work, cudaStream_t stream, Status& failure);
  Status launch(Gathered& gathered, cudaStream_t stream);
  void forget() noexcept;

  Hazards hazards_;
  std::size_t last_ = 0;  ///< where the work before was put
  int split_ = 0;         ///< of what was taken, those that have tickets
  std::array<Gathered, kKinds> gathered_;
};

}  // namespace millrace::cuda
