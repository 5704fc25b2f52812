// How operators of torch's run on a device.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

namespace millrace_torch {

/// Any operator: its results are allocated, with the shapes that its meta kernel says, and the kernel of the
/// CPU is put on the calling thread's stream. Where a shape is in the data, or a result is a number, it runs
/// before this returns, after what the stream was given before.
void run_operator(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack);

/// The same with the kernels of another operator, which takes the same arguments.
void run_operator_as(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace millrace_torch
