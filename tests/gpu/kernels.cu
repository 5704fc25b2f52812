#include "gpu/kernels.h"

namespace millrace::test {
namespace {

constexpr int kThreads = 256;

int blocks_for(std::size_t count) {
  return static_cast<int>((count + kThreads - 1) / kThreads);
}

__global__ void add_one(std::uint32_t* words, std::size_t count) {
  const std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) words[i] += 1;
}

__global__ void set(std::uint32_t* words, std::size_t count, std::uint32_t value, long long ticks) {
  const long long begin = clock64();
  while (clock64() - begin < ticks) {
  }
  const std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) words[i] = value;
}

__global__ void expect(const std::uint32_t* words, std::size_t count, std::uint32_t value,
                       std::uint32_t* wrong) {
  const std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count && words[i] != value) atomicAdd_system(wrong, 1U);
}

__global__ void illegal_access() {
  *reinterpret_cast<volatile int*>(std::uintptr_t{0x10}) = 1;
}

__global__ void trap() {
  asm volatile("trap;");
}

}  // namespace

cudaError_t launch_add_one(cudaStream_t stream, std::uint32_t* words, std::size_t count) {
  add_one<<<blocks_for(count), kThreads, 0, stream>>>(words, count);
  return cudaGetLastError();
}

cudaError_t launch_set(cudaStream_t stream, std::uint32_t* words, std::size_t count, std::uint32_t value,
                       long long ticks) {
  set<<<blocks_for(count), kThreads, 0, stream>>>(words, count, value, ticks);
  return cudaGetLastError();
}

cudaError_t launch_expect(cudaStream_t stream, const std::uint32_t* words, std::size_t count,
                          std::uint32_t value, std::uint32_t* wrong) {
  expect<<<blocks_for(count), kThreads, 0, stream>>>(words, count, value, wrong);
  return cudaGetLastError();
}

cudaError_t launch_illegal_access(cudaStream_t stream) {
  illegal_access<<<1, 1, 0, stream>>>();
  return cudaGetLastError();
}

cudaError_t launch_trap(cudaStream_t stream) {
  trap<<<1, 1, 0, stream>>>();
  return cudaGetLastError();
}

cudaError_t launch_too_large(cudaStream_t stream) {
  trap<<<1, 4096, 0, stream>>>();
  return cudaGetLastError();
}

}  // namespace millrace::test
