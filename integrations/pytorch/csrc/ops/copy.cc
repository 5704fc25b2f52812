#include "ops/copy.h"

#include <ATen/MemoryOverlap.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/_local_scalar_dense_native.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/resize.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "device/allocator.h"
#include "device/devices.h"
#include "device/in_operator.h"
#include "device/streams.h"
#include "device/types.h"
#include "ops/aliases.h"
#include "ops/call.h"
#include "ops/kernel_scope.h"

namespace millrace_torch {
namespace {

// What of the host's is copied before the call returns, so that it need not wait for the stream.
constexpr std::size_t kTakenAtOnce = std::size_t{64} << 10;

constexpr const char* kCopy = "aten::copy_";

millrace::Use use_if_ours(const at::Tensor& tensor, millrace::AccessMode mode) {
  return is_ours(tensor) ? use_of(tensor, mode) : millrace::Use{};
}

/// What the host is about to read, once the stream is done: where missing waits are looked for they are found
/// here too.
void declare_read(OperatorStream& stream, const std::string& name, const at::Tensor& tensor) {
  if (!configured_to_protect()) return;
  const std::array<millrace::Use, 1> uses{use_of(tensor, millrace::AccessMode::read)};
  submit(stream, name, uses, KernelSize::few_numbers, [] {});
}

at::Tensor snapshot(const at::Tensor& tensor) {
  const KernelScope scope;
  return tensor.clone();
}

/// Now, and not when the kernel finds out.
void check_types(c10::ScalarType from, c10::ScalarType to) {
  const bool same_bits = from == to && (c10::isBitsType(from) || from == c10::ScalarType::Float4_e2m1fn_x2);
  TORCH_CHECK_NOT_IMPLEMENTED(same_bits || (has_kernels(from) && has_kernels(to)),
                              "\"copy_\" not implemented for '", has_kernels(from) ? to : from, "'");
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool non_blocking) {
  const InOperator in_operator;
  check_types(self.scalar_type(), dst.scalar_type());
  if (dst.numel() == 0 || self.is_same(dst)) return dst;
  const bool from_here = is_ours(self), to_here = is_ours(dst);
  OperatorStream& stream = current_stream(from_here ? self.device().index() : dst.device().index());
  const at::Tensor source = self.sizes() == dst.sizes() ? self : self.expand(dst.sizes());
  if (from_here && to_here) {
    if (self.device() != dst.device()) {
      // Each stream waits for the other's, so that neither memory is used again too early.
      OperatorStream& there = current_stream(dst.device().index());
      translated([&] {
        millrace::Event ready = device_of(there.device()).event();
        ready.record(there.get());
        there.commit();
        ready.wait();
      });
      record_copy(stream, kCopy, source, dst);
      stream.wait();
      return dst;
    }
    record_copy(stream, kCopy, source, dst);
    return dst;
  }
  if (to_here) {
    if (non_blocking && is_pinned(self.storage().data())) {
      record_copy(stream, kCopy, source, dst);
    } else if (self.storage().nbytes() <= kTakenAtOnce) {
      record_copy(stream, kCopy, snapshot(source), dst);
    } else {
      record_copy(stream, kCopy, source, dst);
      stream.wait();
    }
    return dst;
  }
  record_copy(stream, kCopy, source, dst);
  if (!non_blocking || !is_pinned(dst.storage().data())) stream.wait();
  return dst;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& dst) {
  dst.resize_(self.sizes());
  return copy_from(self, dst, false);
}

at::Scalar local_scalar_dense(const at::Tensor& self) {
  const InOperator in_operator;
  OperatorStream& stream = current_stream(self.device().index());
  declare_read(stream, "aten::_local_scalar_dense", self);
  stream.wait();
  Aliases cpu(Aliases::Of::cpu);
  return at::native::_local_scalar_dense_cpu(cpu.of(self));
}

}  // namespace

void record_copy(OperatorStream& stream, const std::string& name, const at::Tensor& from, const at::Tensor& to) {
  Aliases cpu(Aliases::Of::cpu);
  const std::array<millrace::Use, 2> uses{use_if_ours(from, millrace::AccessMode::read),
                                          use_if_ours(to, millrace::AccessMode::write)};
  // The kernel refuses what overlaps itself, or in part what it reads.
  const bool overlaps = at::has_internal_overlap(to) == at::MemOverlap::Yes ||
                        at::get_overlap_status(to, from) == at::MemOverlapStatus::Partial;
  submit(
      stream, name, uses, size_of(to.numel()),
      [from = cpu.of(from), to = cpu.of(to)]() mutable {
        const at::Tensor source = std::move(from), target = std::move(to);  // the host's are free when it has run
        target.copy_(source);
      },
      overlaps ? Until::done : until_for_operators());
}

}  // namespace millrace_torch

// Copies resolve conjugates and negatives themselves; torch's fallback would copy to do so, for ever.
TORCH_LIBRARY_IMPL(aten, Conjugate, library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, Negative, library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_copy_from", TORCH_FN(millrace_torch::copy_from));
  library.impl("_copy_from_and_resize", TORCH_FN(millrace_torch::copy_from_and_resize));
  library.impl("_local_scalar_dense", TORCH_FN(millrace_torch::local_scalar_dense));
}
