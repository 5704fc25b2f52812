#include "backends/cuda/reduce/packs.h"

#include <algorithm>
#include <span>

#include "backends/cuda/reduce/kernels.h"
#include "backends/cuda/reduce/launch.h"
#include "backends/cuda/reduce/reduce.h"

namespace millrace::cuda {
namespace {

std::uintptr_t number_of(const void* address) noexcept {
  return reinterpret_cast<std::uintptr_t>(address);
}

/// From the first byte that loops reach to behind the last, beside where they begin; in elements.
struct Reach {
  std::int64_t from = 0, to = 1;

  void add(const Dims& sizes, const Dims& strides) noexcept {
    for (int i = 0; i < sizes.size(); ++i) {
      const std::int64_t far = (sizes[i] - 1) * strides[i];
      (far < 0 ? from : to) += far;
    }
  }
  std::size_t bytes(std::size_t element) const noexcept {
    return static_cast<std::size_t>(to - from) * element;
  }
};

}  // namespace

ReduceKind::ReduceKind(const ReduceWork& first) noexcept : work(first), plan(plan_reduce(first)) {
  packable = is_packable(plan);
  if (!packable) return;
  if (plan.splits > 1) accumulator_bytes = cuda::accumulator_bytes(plan, kernels_for(plan));
  Reach read, written;
  read.add(work.kept, work.kept_strides);
  read.add(work.reduced, work.reduced_strides);
  written.add(work.kept, work.output_strides);
  const std::size_t element = size_of(work.input_dtype);
  const std::size_t result = work.statistics ? sizeof(Statistics) : size_of(work.output_dtype);
  read_from = read.from * static_cast<std::ptrdiff_t>(element);
  read_bytes = read.bytes(element);
  write_from = written.from * static_cast<std::ptrdiff_t>(result);
  written_bytes = written.bytes(result);
}

bool ReduceKind::is_of(const ReduceWork& other) const noexcept {
  return work.kept_count == other.kept_count && work.reduced_count == other.reduced_count &&
         work.op == other.op && work.statistics == other.statistics &&
         work.input_dtype == other.input_dtype && work.output_dtype == other.output_dtype &&
         work.correction == other.correction && (work.values == nullptr) == (other.values == nullptr) &&
         (number_of(work.input) - number_of(other.input)) % kVectorBytes == 0 && work.kept == other.kept &&
         work.reduced == other.reduced && work.reduced_strides == other.reduced_strides &&
         work.kept_strides == other.kept_strides && work.output_strides == other.output_strides;
}

Touched ReduceKind::touched(const ReduceWork& own) const noexcept {
  const auto range = [](const void* address, std::ptrdiff_t from, std::size_t bytes) {
    const std::uintptr_t begin = number_of(address) + static_cast<std::uintptr_t>(from);
    return Bytes{begin, begin + bytes};
  };
  return {range(own.input, read_from, read_bytes), range(own.output, write_from, written_bytes),
          accumulator_bytes == 0 ? Bytes() : range(own.scratch, 0, accumulator_bytes)};
}

Packs::Gathered* Packs::find(const ReduceWork& work, cudaStream_t stream, Status& failure) {
  // Patterns repeat, so that one mostly is where the last one was, or behind it.
  for (std::size_t i = 0; i < kKinds; ++i) {
    const std::size_t at = (last_ + i) % kKinds;
    if (gathered_[at].kind.is_of(work)) {
      last_ = at;
      return &gathered_[at];
    }
  }
  last_ = (last_ + 1) % kKinds;
  Gathered& place = gathered_[last_];
  failure = launch(place, stream);
  if (!failure.ok()) return nullptr;
  place.kind = ReduceKind(work);
  return &place;
}

Status Packs::add(const ReduceWork& work, Tickets& tickets, cudaStream_t stream) {
  Status failure;
  Gathered* const gathered = find(work, stream, failure);
  if (gathered == nullptr) return failure;
  const ReduceKind& kind = gathered->kind;
  unsigned* words = nullptr;
  if (kind.plan.splits > 1) words = tickets.words(split_);
  if (!kind.packable || (kind.plan.splits > 1 && words == nullptr)) {
    failure = launch(stream);
    if (!failure.ok()) return failure;
    return launch_reduce(work, work.scratch, kind.plan.splits > 1 ? tickets.words(0) : nullptr, stream);
  }
  const Touched touched = kind.touched(work);
  if (!hazards_.allows(touched)) {
    failure = launch(stream);
    if (!failure.ok()) return failure;
    if (words != nullptr) words = tickets.words(0);
  }
  if (words != nullptr) ++split_;
  hazards_.add(touched);
  gathered->items[static_cast<std::size_t>(gathered->count++)] = {work.input, work.output, work.scratch,
                                                                  words};
  return gathered->count < kMostPackItems ? Status() : launch(*gathered, stream);
}

Status Packs::launch(Gathered& gathered, cudaStream_t stream) {
  if (gathered.count == 0) return {};
  ReducePlan& plan = gathered.kind.plan;
  const PackItem& first = gathered.items.front();
  const auto extent = static_cast<const char*>(plan.input_end) - static_cast<const char*>(plan.input);
  plan.input = first.input;
  plan.output = first.output;
  plan.input_end = static_cast<const char*>(first.input) + extent;
  const auto count = static_cast<std::size_t>(gathered.count);
  gathered.count = 0;
  const cudaError_t error = launch_items(plan, std::span(gathered.items.data(), count), stream);
  if (error == cudaSuccess) return {};
  forget();
  return launch_failure(gathered.kind.work, count, error);
}

Status Packs::launch(cudaStream_t stream) {
  for (Gathered& gathered : gathered_) {
    if (Status failure = launch(gathered, stream); !failure.ok()) return failure;
  }
  forget();
  return {};
}

void Packs::forget() noexcept {
  for (Gathered& gathered : gathered_) gathered.count = 0;
  split_ = 0;
  hazards_.clear();
}

}  // namespace millrace::cuda
