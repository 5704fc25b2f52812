/* The C interface: the same device, streams, memory and events for programs in other languages.
 *
 * Every call returns a code; 0 is success. The message of the last failure on the calling thread is
 * kept until its next failure. Thread safety: as the C++ handles behind each call. */
#ifndef MILLRACE_C_H
#define MILLRACE_C_H

#include <stddef.h>
#include <stdint.h>

#include <millrace/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* millrace::ErrorCode plus one. */
typedef enum millrace_status {
  MILLRACE_OK = 0,
  MILLRACE_INVALID_ARGUMENT,
  MILLRACE_INVALID_STATE,
  MILLRACE_OUT_OF_MEMORY,
  MILLRACE_WORK_FAILED,
  MILLRACE_DEVICE_LOST,
  MILLRACE_CLOSED,
  MILLRACE_FORKED_PROCESS,
  MILLRACE_TIMED_OUT,
  MILLRACE_POOL_EXHAUSTED,
  MILLRACE_UNSUPPORTED,
  MILLRACE_FILE_FORMAT,
  /* Something that is none of the library's errors: the host ran out of memory, say. */
  MILLRACE_UNKNOWN
} millrace_status;

/* What went wrong last on this thread; "" if nothing has. Valid until the next failure here. */
MILLRACE_API const char* millrace_last_error(void);
/* The rule broken by it: InvalidState only, else "". */
MILLRACE_API const char* millrace_last_rule(void);

typedef struct millrace_device millrace_device;
typedef struct millrace_event millrace_event;
typedef struct millrace_lease millrace_lease;
typedef struct millrace_native millrace_native;

/* A value: copy it freely. Make it with one of the calls below. */
typedef struct millrace_stream {
  uint64_t device;
  int32_t slot;
  uint32_t generation;
} millrace_stream;

/* Bytes, and counts of calls; see millrace::MemoryStats. */
typedef struct millrace_memory_stats {
  uint64_t live, cached, pending, committed, limit, peak_live, peak_committed, allocations, frees;
} millrace_memory_stats;

/* name: "auto", "host", "host:0"...; memory_limit in bytes, 0 for the device's own. */
MILLRACE_API millrace_status millrace_device_open(const char* name, uint64_t memory_limit,
                                                  millrace_device** device);
/* One handle less; the last one closes the device. Null is ignored. */
MILLRACE_API void millrace_device_release(millrace_device* device);
MILLRACE_API millrace_status millrace_device_close(millrace_device* device);
MILLRACE_API millrace_status millrace_device_synchronize(millrace_device* device);
MILLRACE_API millrace_status millrace_device_memory(millrace_device* device, millrace_memory_stats* stats);
/* The same of pinned host memory. */
MILLRACE_API millrace_status millrace_device_pinned_memory(millrace_device* device,
                                                           millrace_memory_stats* stats);
MILLRACE_API millrace_status millrace_device_trim(millrace_device* device, uint64_t* released);

/* The calling thread's stream. */
MILLRACE_API millrace_status millrace_device_stream(millrace_device* device, millrace_stream* stream);
/* One that lasts until millrace_lease_end. */
MILLRACE_API millrace_status millrace_device_lease(millrace_device* device, millrace_lease** lease,
                                                   millrace_stream* stream);
/* A stream that the caller has made with the driver (a cudaStream_t; null is the legacy default stream)
 * becomes one of the device's until millrace_lease_end; see millrace::Device::wrap, with
 * StreamLifetime::lease. */
MILLRACE_API millrace_status millrace_device_wrap(millrace_device* device, void* native,
                                                  millrace_lease** lease, millrace_stream* stream);
/* What was recorded and not committed is abandoned; committed work goes on. Null is ignored. */
MILLRACE_API void millrace_lease_end(millrace_lease* lease);

/* On the calling thread's stream. alignment 0: the default of 512 bytes. */
MILLRACE_API millrace_status millrace_allocate(millrace_device* device, size_t bytes, size_t alignment,
                                               void** address);
MILLRACE_API millrace_status millrace_allocate_on(millrace_device* device, millrace_stream stream,
                                                  size_t bytes, size_t alignment, void** address);
/* Pinned host memory, for the same streams; see millrace::Device::allocate_pinned. */
MILLRACE_API millrace_status millrace_allocate_pinned(millrace_device* device, size_t bytes, size_t alignment,
                                                      void** address);
MILLRACE_API millrace_status millrace_allocate_pinned_on(millrace_device* device, millrace_stream stream,
                                                         size_t bytes, size_t alignment, void** address);
/* Of either kind. */
MILLRACE_API millrace_status millrace_deallocate(millrace_device* device, void* address);
MILLRACE_API millrace_status millrace_record_use(millrace_device* device, const void* address,
                                                 millrace_stream stream);
/* The same for whatever is on the stream when the allocation is freed. */
MILLRACE_API millrace_status millrace_record_stream(millrace_device* device, const void* address,
                                                    millrace_stream stream);

/* millrace::DType, in its order. */
typedef enum millrace_dtype {
  MILLRACE_F64 = 0,
  MILLRACE_F32,
  MILLRACE_F16,
  MILLRACE_BF16,
  MILLRACE_I64,
  MILLRACE_I32,
  MILLRACE_I16,
  MILLRACE_I8,
  MILLRACE_U8,
  MILLRACE_BOOLEAN
} millrace_dtype;

/* DLPack's own; <dlpack/dlpack.h> says what is in them. */
struct DLManagedTensor;
struct DLManagedTensorVersioned;

/* A DLPack tensor over an allocation, which its deleter frees; millrace/dlpack.h says who orders what. The
 * first element is at the address. shape and strides have so many (dims) numbers, strides in elements; null
 * strides: row-major. read_only: 1 or 0. On a failure the allocation is the caller's still. */
MILLRACE_API millrace_status millrace_to_dlpack(millrace_device* device, void* address, millrace_dtype dtype,
                                                int32_t dims, const int64_t* shape, const int64_t* strides,
                                                int32_t read_only, struct DLManagedTensorVersioned** tensor);
/* The same in the struct from before DLPack 1.0. */
MILLRACE_API millrace_status millrace_to_dlpack_unversioned(millrace_device* device, void* address,
                                                            millrace_dtype dtype, int32_t dims,
                                                            const int64_t* shape, const int64_t* strides,
                                                            struct DLManagedTensor** tensor);

/* Recorded; runs once the stream is committed. Host memory must stay valid until then. */
MILLRACE_API millrace_status millrace_stream_copy(millrace_stream stream, void* to, const void* from,
                                                  size_t bytes);
/* Recorded: sets each byte. */
MILLRACE_API millrace_status millrace_stream_fill(millrace_stream stream, void* to, uint8_t value,
                                                  size_t bytes);
/* Runs task(argument) on a thread of the device, in stream order. */
MILLRACE_API millrace_status millrace_stream_run(millrace_stream stream, const char* name,
                                                 void (*task)(void*), void* argument);
/* handler(argument, status) once; status is MILLRACE_OK, or why the command buffer did not complete. */
MILLRACE_API millrace_status millrace_stream_on_completed(millrace_stream stream,
                                                          void (*handler)(void*, millrace_status),
                                                          void* argument);
/* The driver's own stream (a cudaStream_t) for work of the caller's, until millrace_native_end. */
MILLRACE_API millrace_status millrace_stream_record_native(millrace_stream stream, millrace_native** recorder,
                                                           void** native);
/* Other work can be recorded from here on. Null is ignored. */
MILLRACE_API void millrace_native_end(millrace_native* recorder);
MILLRACE_API millrace_status millrace_stream_commit(millrace_stream stream);
/* Commits and waits. */
MILLRACE_API millrace_status millrace_stream_wait(millrace_stream stream);

/* An event of the device's pool; release gives it back. Null is ignored there. */
MILLRACE_API millrace_status millrace_event_create(millrace_device* device, millrace_event** event);
/* Also after the device has closed. */
MILLRACE_API void millrace_event_release(millrace_event* event);
/* Marks everything recorded in the stream so far. */
MILLRACE_API millrace_status millrace_event_record(millrace_event* event, millrace_stream stream);
/* Blocks until the marked work is done; its failure is returned. */
MILLRACE_API millrace_status millrace_event_wait(millrace_event* event);
/* done: 1 or 0. Does not block. */
MILLRACE_API millrace_status millrace_event_query(millrace_event* event, int32_t* done);
/* The driver's event for what is marked now (a cudaEvent_t), until it is recorded again or released. */
MILLRACE_API millrace_status millrace_event_native(millrace_event* event, void** native);
/* What is recorded in the stream from here on runs after what the event marks. */
MILLRACE_API millrace_status millrace_stream_wait_event(millrace_stream stream, millrace_event* event);

#ifdef __cplusplus
}
#endif

#endif
