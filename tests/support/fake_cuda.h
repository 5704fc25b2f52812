// A driver that plays an NVIDIA device in host memory: what the CUDA backend does can be tested, also under
// sanitizers, where there is no GPU. It runs no kernels but what a test gives for them
// (fake_kernels.h).
#pragma once

#include <cuda.h>

#include <cstddef>
#include <functional>

namespace millrace::test {

/// Takes the driver's place for the rest of the process, with devices of so much memory. Before any device is
/// opened.
void install_fake_cuda(int devices = 1, std::size_t memory_bytes = std::size_t{4} << 30);
/// Whether this process has it: a GPU's tests can't run in it any more.
bool fake_cuda_installed();

/// From here on the device answers everything that asks about its work with this, as a real one does after an
/// illegal access. CUDA_SUCCESS: it works again.
void fail_fake_cuda(CUresult answer);

/// A stream that the backend has not made, and its end: what is on it still runs, and the next one gets its
/// handle.
CUstream make_fake_stream(int device = 0);
void destroy_fake_stream(CUstream stream);
/// A capture by its owner, in the usual mode, which is spoilt by what any thread does that is not careful.
/// False if it was.
void begin_fake_capture(CUstream stream);
bool end_fake_capture(CUstream stream);
/// Something that can't be captured is put on a stream that is being captured.
void spoil_fake_capture(CUstream stream);
/// Another stream waits for an event that is recorded on one that is being captured.
void join_fake_capture(CUstream captured, CUstream other);
int fake_stream_priority(CUstream stream);
/// Graphs that nobody has destroyed, each counted once more if it can be launched.
std::size_t fake_cuda_graphs();

/// What a kernel of a caller's would do: runs on the stream in its order.
void run_on_fake_stream(CUstream stream, std::function<void()> work);

/// What the driver says to a caller's own copy between memory of devices.
CUresult fake_ordinary_copy(CUstream stream, void* to, const void* from, std::size_t bytes);

/// What devices answer about themselves, until install_fake_cuda is called again.
void set_fake_cuda_attribute(CUdevice_attribute which, int value);

/// How often the backend has asked the driver for anything; what an address is.
std::size_t fake_cuda_calls();
std::size_t fake_cuda_questions();

/// How often it was given a stream's handle that was nobody's then: a real driver may crash.
std::size_t fake_cuda_dead_handles();

/// Before the backend's next call of that kind something else happens, once, on the calling thread.
enum class FakeCall { stream_capturing, stream_query, event_record, end_capture };
void before_fake_cuda(FakeCall call, std::function<void()> happens);

/// Another process takes so much of each device's memory, in place of what it had.
void take_fake_cuda_memory(std::size_t bytes);

/// Bytes of host memory that are registered.
std::size_t fake_cuda_registered();

/// Events that were made and not destroyed.
std::size_t fake_cuda_events();

/// Bytes of physical memory that are there, and of those that have addresses, each address counted.
std::size_t fake_cuda_memory();
std::size_t fake_cuda_mapped();

}  // namespace millrace::test
