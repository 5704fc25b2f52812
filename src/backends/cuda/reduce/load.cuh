// Loads of several elements at once, and what folds make of them.
#pragma once

#include <cstdint>
#include <cstring>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// What the widest load brings, which stays as it is until an element is asked for.
template <DType kType>
struct alignas(kVectorBytes) Vector {
  using Stored = typename Element<kType>::Stored;
  static constexpr int kElements = kVectorBytes / static_cast<int>(sizeof(Stored));

  std::uint32_t words[kVectorBytes / 4];

  __device__ typename Element<kType>::Value operator[](int i) const {
    constexpr int kBytes = static_cast<int>(sizeof(Stored));
    if constexpr (kType == DType::bf16) {
      // The upper half of a float, which one instruction makes of either half of a word.
      const std::uint32_t word = words[i / 2];
      return __uint_as_float(i % 2 == 0 ? word << 16 : word & 0xffff0000U);
    } else {
      Stored stored;
      if constexpr (kBytes <= 4) {
        stored = static_cast<Stored>(words[i * kBytes / 4] >> (i * kBytes % 4 * 8));
        if constexpr (kBytes == 4) memcpy(&stored, &words[i], sizeof stored);
      } else {
        memcpy(&stored, &words[2 * i], sizeof stored);
      }
      return Element<kType>::load(stored);
    }
  }
};

/// Loads that a thread has on their way at once.
inline constexpr int kVectorsAtOnce = 4;
template <typename Stored>
inline constexpr int kElementsAtOnce = sizeof(Stored) <= 2 ? 16 : 8;

template <DType kType>
__device__ Vector<kType> load_vector(const void* from) {
  const uint4 raw = *static_cast<const uint4*>(from);
  return {{raw.x, raw.y, raw.z, raw.w}};
}

/// One that nobody else reads: it leaves the caches before what else is in them.
template <DType kType>
__device__ Vector<kType> load_streamed(const void* from) {
  const uint4 raw = __ldcs(static_cast<const uint4*>(from));
  return {{raw.x, raw.y, raw.z, raw.w}};
}

/// One at an address that is a vector's, as far as memory belongs to the input.
template <DType kType>
__device__ Vector<kType> load_before(const void* from, const void* input_end) {
  using Stored = typename Element<kType>::Stored;
  const auto* const begin = static_cast<const char*>(from);
  const auto* const end = static_cast<const char*>(input_end);
  if (begin + kVectorBytes <= end) return load_vector<kType>(from);
  alignas(kVectorBytes) Stored elements[Vector<kType>::kElements] = {};
  for (int i = 0; begin + (i + 1) * static_cast<int>(sizeof(Stored)) <= end; ++i) {
    elements[i] = static_cast<const Stored*>(from)[i];
  }
  Vector<kType> vector;
  memcpy(&vector, elements, sizeof vector);
  return vector;
}

/// Folds that know something better than an element after the other have an add_vector of their own.
template <class Fold>
concept HasAddVector = requires(typename Fold::Running& running, const Vector<Fold::kDType>& vector) {
  Fold::add_vector(running, vector, std::int64_t{0});
};

/// What `combine` makes of the elements, by halves: so a thread waits for few of its operations one after the
/// other.
template <DType kType, typename T, typename Convert, typename Combine>
__device__ T by_halves(const Vector<kType>& vector, Convert convert, Combine combine) {
  T values[Vector<kType>::kElements];
#pragma unroll
  for (int i = 0; i < Vector<kType>::kElements; ++i) values[i] = convert(vector[i]);
#pragma unroll
  for (int by = 1; by < Vector<kType>::kElements; by *= 2) {
#pragma unroll
    for (int i = 0; i < Vector<kType>::kElements; i += 2 * by) values[i] = combine(values[i], values[i + by]);
  }
  return values[0];
}

/// Elements begin to end of it. position is that of element 0, whether it counts or not.
template <class Fold>
__device__ void add_one_by_one(typename Fold::Running& running, const Vector<Fold::kDType>& vector,
                               std::int64_t position, std::int64_t position_step, int begin, int end) {
#pragma unroll
  for (int i = 0; i < Vector<Fold::kDType>::kElements; ++i) {
    if (i >= begin && i < end) Fold::add(running, vector[i], position + i * position_step);
  }
}

/// Elements whose positions follow each other.
template <class Fold>
__device__ void add_vector(typename Fold::Running& running, const Vector<Fold::kDType>& vector,
                           std::int64_t position) {
  if constexpr (HasAddVector<Fold>) {
    Fold::add_vector(running, vector, position);
  } else {
    add_one_by_one<Fold>(running, vector, position, 1, 0, Vector<Fold::kDType>::kElements);
  }
}

/// A run of elements that follow each other in memory, as the vectors that they lie in. The first and the
/// last may also hold what is before and behind it.
template <DType kType>
class Run {
 public:
  using Stored = typename Element<kType>::Stored;
  static constexpr int kElements = Vector<kType>::kElements;
  static constexpr bool kIsTuned = has_tuned_kernels(kType);

  /// input_end: what is behind the last element of the whole input.
  __device__ Run(const Stored* from, std::int64_t n, const void* input_end)
      : past_(static_cast<int>(reinterpret_cast<std::uintptr_t>(from) % kVectorBytes / sizeof(Stored))),
        n_(n),
        first_(from - past_),
        input_end_(input_end) {}

  __device__ std::int64_t vectors() const { return (n_ + past_ + kElements - 1) / kElements; }
  /// The vectors whose elements are all the run's: from the first to before the end. Of the ones before and
  /// behind them it may have a part.
  __device__ std::int64_t first_whole() const { return past_ == 0 ? 0 : 1; }
  __device__ std::int64_t end_whole() const { return (n_ + past_) / kElements; }
  __device__ bool has_head() const { return past_ != 0 && n_ != 0; }
  __device__ bool has_tail() const {
    const std::int64_t end = n_ + past_;
    return end % kElements != 0 && (past_ == 0 || end > kElements);
  }

  /// Are all elements of these vectors the run's?
  __device__ bool is_whole(std::int64_t first, std::int64_t last) const {
    return (first > 0 || past_ == 0) && (last + 1) * kElements <= n_ + past_;
  }
  __device__ bool is_whole(std::int64_t i) const { return is_whole(i, i); }

  /// Of a whole vector.
  __device__ Vector<kType> load_whole(std::int64_t i) const {
    return load_vector<kType>(first_ + i * kElements);
  }
  __device__ Vector<kType> load_streamed(std::int64_t i) const {
    return cuda::load_streamed<kType>(first_ + i * kElements);
  }
  /// The position of its first element, where the run's is that.
  __device__ std::int64_t position_of(std::int64_t i, std::int64_t position) const {
    return position + i * kElements - past_;
  }
  /// Of one that it has in part.
  __device__ Vector<kType> load_part(std::int64_t i) const {
    return load_before<kType>(first_ + i * kElements, input_end_);
  }

  /// What the run has of a vector. position: that of the run's first element.
  template <class Fold>
  __device__ void add_part(typename Fold::Running& running, const Vector<kType>& vector, std::int64_t i,
                           std::int64_t position) const {
    const std::int64_t first = i * kElements - past_;
    const int begin = first < 0 ? static_cast<int>(-first) : 0;
    const int end = n_ - first < kElements ? static_cast<int>(n_ - first) : kElements;
    if constexpr (kIsTuned) {
      add_one_by_one<Fold>(running, vector, position + first, 1, begin, end);
    } else {
      // Once more from memory: a loop that compiles in a fraction of the time.
#pragma unroll 1
      for (int k = begin; k < end; ++k) {
        Fold::add(running, Element<kType>::load(first_[i * kElements + k]), position + first + k);
      }
    }
  }

 private:
  int past_;
  std::int64_t n_;
  const Stored* first_;
  const void* input_end_;
};

/// Where the vectors of a run are among threads that share it.
struct Share {
  int way, ways;

  /// The ends: the first thread has the one before the whole vectors, the last the one behind them.
  template <class Fold>
  __device__ void add_ends(typename Fold::Running& running, const Run<Fold::kDType>& run,
                           std::int64_t position) const {
    const bool head = way == 0 && run.has_head(), tail = way == ways - 1 && run.has_tail();
    if (!head && !tail) return;
    Fold::settle(running);
    const std::int64_t last = run.end_whole();
#pragma unroll 1
    for (int i = head ? 0 : 1; i < (tail ? 2 : 1); ++i) {
      const std::int64_t at = i == 0 ? 0 : last;
      run.template add_part<Fold>(running, run.load_part(at), at, position);
    }
  }
};

}  // namespace millrace::cuda
