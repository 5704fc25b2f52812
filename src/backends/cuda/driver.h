// The NVIDIA driver, found when the program runs: one binary also works where there is none.
#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>

#include <string>

#include "device/status.h"

namespace millrace::cuda {

// The driver's functions by our name, its name, and the version whose signature is meant.
#define MILLRACE_CUDA_DRIVER_FUNCTIONS(F)                         \
  F(init, cuInit, 2000)                                           \
  F(driver_version, cuDriverGetVersion, 2020)                     \
  F(error_name, cuGetErrorName, 6000)                             \
  F(error_string, cuGetErrorString, 6000)                         \
  F(device_count, cuDeviceGetCount, 2000)                         \
  F(device, cuDeviceGet, 2000)                                    \
  F(device_name, cuDeviceGetName, 2000)                           \
  F(device_memory, cuDeviceTotalMem, 3020)                        \
  F(device_uuid, cuDeviceGetUuid, 11040)                          \
  F(device_attribute, cuDeviceGetAttribute, 2000)                 \
  F(can_access_peer, cuDeviceCanAccessPeer, 4000)                 \
  F(primary_context_retain, cuDevicePrimaryCtxRetain, 7000)       \
  F(context_current, cuCtxGetCurrent, 4000)                       \
  F(context_push, cuCtxPushCurrent, 4000)                         \
  F(context_pop, cuCtxPopCurrent, 4000)                           \
  F(stream_create, cuStreamCreateWithPriority, 5050)              \
  F(stream_destroy, cuStreamDestroy, 4000)                        \
  F(stream_synchronize, cuStreamSynchronize, 2000)                \
  F(stream_wait_event, cuStreamWaitEvent, 3020)                   \
  F(stream_query, cuStreamQuery, 2000)                            \
  F(stream_id, cuStreamGetId, 12000)                              \
  F(stream_context, cuStreamGetCtx, 9020)                         \
  F(stream_capturing, cuStreamIsCapturing, 10000)                 \
  F(stream_begin_capture, cuStreamBeginCapture, 10010)            \
  F(stream_end_capture, cuStreamEndCapture, 10000)                \
  F(capture_mode, cuThreadExchangeStreamCaptureMode, 10010)       \
  F(graph_instantiate, cuGraphInstantiateWithFlags, 11040)        \
  F(graph_launch, cuGraphLaunch, 10000)                           \
  F(graph_exec_destroy, cuGraphExecDestroy, 10000)                \
  F(graph_destroy, cuGraphDestroy, 10000)                         \
  F(priority_range, cuCtxGetStreamPriorityRange, 5050)            \
  F(context_synchronize, cuCtxSynchronize, 2000)                  \
  F(event_create, cuEventCreate, 2000)                            \
  F(event_destroy, cuEventDestroy, 4000)                          \
  F(event_record, cuEventRecord, 2000)                            \
  F(event_query, cuEventQuery, 2000)                              \
  F(copy, cuMemcpyAsync, 4000)                                    \
  F(copy_peer, cuMemcpyPeerAsync, 4000)                           \
  F(fill, cuMemsetD8Async, 3020)                                  \
  F(event_elapsed, cuEventElapsedTime, 2000)                      \
  F(pointer_attributes, cuPointerGetAttributes, 7000)             \
  F(allocation_granularity, cuMemGetAllocationGranularity, 10020) \
  F(address_reserve, cuMemAddressReserve, 10020)                  \
  F(address_free, cuMemAddressFree, 10020)                        \
  F(memory_create, cuMemCreate, 10020)                            \
  F(memory_release, cuMemRelease, 10020)                          \
  F(memory_map, cuMemMap, 10020)                                  \
  F(memory_unmap, cuMemUnmap, 10020)                              \
  F(memory_set_access, cuMemSetAccess, 10020)                     \
  F(memory_info, cuMemGetInfo, 3020)                              \
  F(memory_allocate, cuMemAlloc, 3020)                            \
  F(memory_free, cuMemFree, 3020)                                 \
  F(peer_access, cuCtxEnablePeerAccess, 4000)                     \
  F(host_register, cuMemHostRegister, 6050)                       \
  F(host_unregister, cuMemHostUnregister, 4000)

/// The functions this backend calls. All are there, or the driver counts as absent.
struct Driver {
#define MILLRACE_CUDA_MEMBER(member, symbol, version) PFN_##symbol##_v##version member = nullptr;
  MILLRACE_CUDA_DRIVER_FUNCTIONS(MILLRACE_CUDA_MEMBER)
#undef MILLRACE_CUDA_MEMBER
};

/// Null where there is none; why_no_driver says why. Looked for once.
///
/// Thread safety: any thread.
const Driver* find_driver() noexcept;
std::string why_no_driver();
/// Only after find_driver has found it.
const Driver& driver() noexcept;
/// Tests put another one in its place before anything asks for it; it is never given back.
void replace_driver(const Driver& stand_in) noexcept;

/// "CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)".
std::string describe(CUresult result);

/// Says that the device or its context can do no more work, whatever is asked of it.
bool is_fatal(CUresult result) noexcept;

/// A call's outcome: ok, OutOfMemory, DeviceLost, InvalidArgument, Unsupported or WorkFailed. asked: what was
/// to be done.
Status status_of(CUresult result, const std::string& asked, const std::string& device, int stream = -1);

/// Until the end of the scope no call of this thread spoils somebody's capture, in whatever mode they
/// capture. In the usual mode the driver refuses what might be unsafe in a capture, as asking for an event,
/// to all threads while anybody captures, and spoils the capture too.
///
/// Thread safety: one thread.
class RelaxedCapture {
 public:
  RelaxedCapture() noexcept { exchange(); }
  ~RelaxedCapture() { exchange(); }
  RelaxedCapture(const RelaxedCapture&) = delete;
  RelaxedCapture& operator=(const RelaxedCapture&) = delete;

 private:
  void exchange() noexcept { (void)driver().capture_mode(&other_mode_); }
  CUstreamCaptureMode other_mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;
};

/// Makes a device's context current on the calling thread until the end of the scope. Every call of the
/// driver but those that list devices is made inside one.
///
/// Thread safety: one thread.
class ContextScope {
 public:
  explicit ContextScope(CUcontext context) noexcept;
  ~ContextScope();
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
  /// CUDA_SUCCESS, or why the context could not be made current.
  CUresult result() const noexcept { return result_; }

 private:
  const RelaxedCapture relaxed_;
  bool pushed_ = false;
  CUresult result_ = CUDA_SUCCESS;
};

}  // namespace millrace::cuda
