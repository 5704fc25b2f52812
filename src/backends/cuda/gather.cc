// Reductions on a stream: by themselves, or gathered so that they share launches.
#include <new>
#include <variant>

#include "backends/cuda/native_stream.h"
#include "backends/cuda/owner.h"
#include "backends/cuda/reduce/reduce.h"

namespace millrace::cuda {

Status NativeStream::refuse_tensors(const Operation& operation, const ReduceWork& work) const {
  for (const void* pointer : {work.input, static_cast<const void*>(work.output)}) {
    if (work.reduced_count == 0 && pointer == work.input) continue;
    if (Status refused = refuse_unreachable(operation, pointer); !refused.ok()) return refused;
    if (find_owner(pointer, 1, memory_).owner != Owner::pageable) continue;
    return Status(ErrorCode::InvalidArgument,
                  "operation \"" + operation.name +
                      "\" failed: its tensor is in host memory, which the device can't read; copy it to a "
                      "buffer of the device first",
                  {.call = {}, .device = device_, .stream = number_, .rule = {}});
  }
  return {};
}

Status NativeStream::reduce(const Operation& operation, const ReduceWork& work) {
  if (work.kept_count == 0) return {};
  if (Status refused = refuse_tensors(operation, work); !refused.ok()) return refused;
  // A graph may run while this stream does something else, so what is captured has none of its own.
  unsigned* const tickets = work.scratch == nullptr || is_capturing() ? nullptr : tickets_.words();
  return launch_reduce(work, work.scratch, tickets, stream_);
}

Status NativeStream::gather(const Operation& operation) {
  const auto* const work = std::get_if<ReduceWork>(&operation.work);
  // Where there is no memory to gather anything in, each goes by itself.
  if (work != nullptr && !packs_) packs_.reset(new (std::nothrow) Packs);
  if (work == nullptr || !packs_) {
    Status failure = launch_gathered();
    return failure.ok() ? enqueue(operation) : failure;
  }
  if (work->kept_count == 0) return {};
  for (const void* pointer : {work->input, static_cast<const void*>(work->output)}) {
    if (known_.have(pointer)) continue;
    if (Status refused = refuse_tensors(operation, *work); !refused.ok()) return refused;
    known_.look_at(pointer, memory_);
  }
  return packs_->add(*work, tickets_, stream_);
}

Status NativeStream::launch_gathered() {
  known_.forget();
  return packs_ ? packs_->launch(stream_) : Status();
}

}  // namespace millrace::cuda
