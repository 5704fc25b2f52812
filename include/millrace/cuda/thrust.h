// A device's memory for Thrust's vectors and temporary storage.
//
// For nvcc: Thrust's headers want it.
#pragma once

#include <millrace/cuda/resource.h>

#include <cstddef>
#include <new>
#include <utility>

#include <thrust/device_ptr.h>
#include <thrust/device_reference.h>

namespace millrace::cuda {

/// An allocator of elements for one stream. As `thrust::cuda::par(allocator).on(stream)`, what an algorithm
/// needs for itself; as `thrust::device_vector<T, thrust_allocator<T>>`, the vector's elements, which Thrust
/// makes and destroys on the default stream: leave the stream out there. A stream has to last as long as the
/// allocator's copies and what they have allocated.
///
/// Thread safety: as resource.
template <typename T>
class thrust_allocator {
 public:
  using value_type = T;
  using pointer = thrust::device_ptr<T>;
  using const_pointer = thrust::device_ptr<const T>;
  using reference = thrust::device_reference<T>;
  using const_reference = thrust::device_reference<const T>;
  using size_type = std::size_t;
  using difference_type = typename pointer::difference_type;
  /// The same for another type.
  template <typename U>
  struct rebind {
    using other = thrust_allocator<U>;
  };

  explicit thrust_allocator(resource memory, ::cuda::stream_ref stream = cudaStream_t{})
      : memory_(std::move(memory)), stream_(stream) {}
  template <typename U>
  thrust_allocator(const thrust_allocator<U>& other) : memory_(other.memory()), stream_(other.stream()) {}

  const resource& memory() const noexcept { return memory_; }
  ::cuda::stream_ref stream() const noexcept { return stream_; }

  /// Throws std::bad_array_new_length for more than there are addresses, otherwise as resource::allocate.
  pointer allocate(size_type count) {
    if (count > static_cast<size_type>(-1) / sizeof(T)) throw std::bad_array_new_length();
    return pointer(static_cast<T*>(memory_.allocate(stream_, count * sizeof(T), kDefaultAlignment)));
  }
  void deallocate(pointer first, size_type count) noexcept {
    memory_.deallocate(stream_, first.get(), count * sizeof(T), kDefaultAlignment);
  }

  friend bool operator==(const thrust_allocator& a, const thrust_allocator& b) noexcept {
    return a.memory_ == b.memory_ && a.stream_ == b.stream_;
  }

 private:
  resource memory_;
  ::cuda::stream_ref stream_;
};

}  // namespace millrace::cuda
