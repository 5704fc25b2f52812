// Statistics of deflated tensors, which can't be cut into pieces for several workers: their bytes come
// out in order only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <millrace/reduce.h>
#include <millrace/stream.h>

#include "formats/mapped_file.h"
#include "formats/tensor_file.h"

namespace millrace::tool {

/// The deflated tensors of many files as work: each is unpacked and measured by one worker, the largest
/// first, since the last to begin decides how long all of it takes.
///
/// Thread safety: work() from any thread at once; put_into() after all calls of work() have ended.
class DeflatedTensors {
 public:
  explicit DeflatedTensors(const std::vector<TensorFile>& files);

  std::size_t size() const noexcept { return tensors_.size(); }
  /// Of the elements of all of them.
  std::uint64_t bytes() const noexcept { return bytes_; }
  /// The device memory that pieces need, at most limit, which is at least kPieceAlignment; a multiple of
  /// that.
  std::uint64_t buffer_bytes(std::uint64_t limit) const noexcept;

  /// What a worker brings along.
  struct Worker {
    Stream stream;
    std::byte* place = nullptr;               ///< device memory for a piece
    std::uint64_t place_bytes = 0;            ///< a multiple of every element's size
    Statistics* result = nullptr;             ///< device memory for one
    std::function<bool()> stop;               ///< asked before each piece
    std::function<void(std::uint64_t)> done;  ///< told the bytes of each piece
  };
  /// Takes tensors until none is left or stop says so.
  void work(const Worker& worker);

  /// Enters the results at the tensors' indexes through all files; nothing where work() was stopped.
  void put_into(std::vector<std::optional<Statistics>>& tensors) const;

 private:
  struct Tensor {
    const TensorFile* file = nullptr;
    const TensorEntry* entry = nullptr;
    std::size_t index = 0;  // through all files
    std::optional<Statistics> result;
  };
  static std::optional<Statistics> measure(const Tensor& tensor, const MappedFile& file,
                                           const Worker& worker);

  std::vector<Tensor> tensors_;  // each is written by the worker that took it
  std::uint64_t bytes_ = 0;
  std::atomic<std::size_t> next_{0};
};

}  // namespace millrace::tool
