#include "bench/gpu_peers.h"

#include <cuda_runtime_api.h>

#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <algorithm>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_segmented_reduce.cuh>
#include <stdexcept>
#include <string>
#include <utility>

namespace millrace::tool {
namespace {

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

/// Whole lines of its own for each block.
template <int kThreads, int kVectorsAtOnce>
__global__ void __launch_bounds__(kThreads)
    read_all(const uint4* from, long long vectors, unsigned* unlikely_result) {
  constexpr long long kLine = 8;
  const long long each = ((vectors + gridDim.x - 1) / gridDim.x + kLine - 1) / kLine * kLine;
  const long long begin = each * blockIdx.x;
  const long long end = begin + each < vectors ? begin + each : vectors;
  unsigned bits = 0;
  long long i = begin + threadIdx.x;
  for (; i + (kVectorsAtOnce - 1) * kThreads < end; i += kVectorsAtOnce * kThreads) {
    uint4 loaded[kVectorsAtOnce];
#pragma unroll
    for (int k = 0; k < kVectorsAtOnce; ++k) loaded[k] = __ldcs(from + i + k * kThreads);
#pragma unroll
    for (int k = 0; k < kVectorsAtOnce; ++k) bits ^= loaded[k].x ^ loaded[k].y ^ loaded[k].z ^ loaded[k].w;
  }
  for (; i < end; i += kThreads) {
    const uint4 loaded = __ldcs(from + i);
    bits ^= loaded.x ^ loaded.y ^ loaded.z ^ loaded.w;
  }
  if (bits == 0x12345677) *unlikely_result = bits;  // so that the loads are not left out
}

/// Device memory of the driver's.
class Memory {
 public:
  explicit Memory(std::size_t bytes) { check(cudaMalloc(&data_, bytes == 0 ? 1 : bytes), "cudaMalloc"); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { static_cast<void>(cudaFree(data_)); }
  void* get() const { return data_; }

 private:
  void* data_ = nullptr;
};

/// A stream and two events that keep times.
class Timer {
 public:
  Timer() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    check(cudaEventCreate(&begin_), "cudaEventCreate");
    check(cudaEventCreate(&end_), "cudaEventCreate");
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() {
    for (cudaEvent_t event : {begin_, end_}) {
      if (event != nullptr) static_cast<void>(cudaEventDestroy(event));
    }
    static_cast<void>(cudaStreamDestroy(stream_));
  }

  template <typename Launch>
  double time(const GpuInputs& inputs, int launches, Launch launch) {
    launch(inputs.data.back(), stream_);
    check(cudaEventRecord(begin_, stream_), "cudaEventRecord");
    for (int i = 0; i < launches; ++i) {
      launch(inputs.data[static_cast<std::size_t>(i) % inputs.data.size()], stream_);
    }
    check(cudaEventRecord(end_, stream_), "cudaEventRecord");
    check(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) / 1e3 / launches;
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

/// Seconds of a launch of so many blocks, on a stream of the timer's.
template <int kThreads, int kVectorsAtOnce>
double time_reading(Timer& timer, const GpuInputs& inputs, int launches, int blocks, unsigned* word) {
  return timer.time(inputs, launches, [&](const void* data, cudaStream_t stream) {
    read_all<kThreads, kVectorsAtOnce><<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
        static_cast<const uint4*>(data), static_cast<long long>(inputs.bytes / sizeof(uint4)), word);
    check(cudaGetLastError(), "the launch of a kernel");
  });
}

/// Where a row begins.
struct RowBegin {
  std::int64_t columns;
  __host__ __device__ std::int64_t operator()(std::int64_t row) const { return row * columns; }
};

}  // namespace

double time_reading_on_gpu(const GpuInputs& inputs, int launches) {
  int device = 0;
  int multiprocessors = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device),
        "cudaDeviceGetAttribute");
  const Memory word(sizeof(unsigned));
  auto* const unlikely = static_cast<unsigned*>(word.get());
  Timer timer;
  // kReadingLaunches names them.
  return std::min({time_reading<1024, 4>(timer, inputs, launches, multiprocessors, unlikely),
                   time_reading<512, 8>(timer, inputs, launches, 4 * multiprocessors, unlikely),
                   time_reading<256, 4>(timer, inputs, launches, 8 * multiprocessors, unlikely)});
}

double time_cub(ReduceOp op, const GpuInputs& inputs, std::int64_t rows, int launches) {
  const auto elements = static_cast<std::int64_t>(inputs.bytes / sizeof(float));
  const Memory results(static_cast<std::size_t>(rows) * sizeof(float));
  auto* const out = static_cast<float*>(results.get());
  const auto begins =
      thrust::make_transform_iterator(thrust::counting_iterator<std::int64_t>(0), RowBegin{elements / rows});
  const auto reduce = [&](void* scratch, std::size_t& bytes, const float* in, cudaStream_t stream) {
    const auto segments = static_cast<int>(rows);
    switch (op) {
      case ReduceOp::sum:
        return rows == 1 ? cub::DeviceReduce::Sum(scratch, bytes, in, out, elements, stream)
                         : cub::DeviceSegmentedReduce::Sum(scratch, bytes, in, out, segments, begins,
                                                           begins + 1, stream);
      case ReduceOp::min:
        return rows == 1 ? cub::DeviceReduce::Min(scratch, bytes, in, out, elements, stream)
                         : cub::DeviceSegmentedReduce::Min(scratch, bytes, in, out, segments, begins,
                                                           begins + 1, stream);
      case ReduceOp::max:
        return rows == 1 ? cub::DeviceReduce::Max(scratch, bytes, in, out, elements, stream)
                         : cub::DeviceSegmentedReduce::Max(scratch, bytes, in, out, segments, begins,
                                                           begins + 1, stream);
      default: return cudaErrorInvalidValue;
    }
  };
  std::size_t bytes = 0;
  check(reduce(nullptr, bytes, nullptr, nullptr), "CUB");
  const Memory scratch(bytes);
  Timer timer;
  return timer.time(inputs, launches, [&](const void* data, cudaStream_t stream) {
    check(reduce(scratch.get(), bytes, static_cast<const float*>(data), stream), "CUB");
  });
}

}  // namespace millrace::tool
