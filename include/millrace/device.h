// Devices: opening them, their memory, and everything that hangs on them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/event.h>
#include <millrace/export.h>
#include <millrace/graph.h>
#include <millrace/memory_kind.h>
#include <millrace/memory_observer.h>
#include <millrace/memory_segment.h>
#include <millrace/memory_statistics.h>
#include <millrace/stream.h>

namespace millrace {

namespace detail {
class Core;
}

inline constexpr std::size_t kDefaultAlignment = 512;

/// What a thread gets that asks for its stream when all are leased.
enum class ExhaustionPolicy : std::uint8_t {
  share,  ///< one that others use too, in turn; counted in StreamStats::shared_leases
  wait,   ///< the next one that is returned; TimedOut after DeviceOptions::exhaustion_timeout
  fail,   ///< PoolExhausted
};

/// Whose work the device prefers where it has a choice.
enum class StreamPriority : std::uint8_t {
  normal,
  high,  ///< the driver's highest; as normal where the device knows no priorities
};

/// How long a stream that somebody else made is there (Device::wrap).
enum class StreamLifetime : std::uint8_t {
  lease,   ///< as long as the leases of it: then it may be destroyed, and another one may get its handle
  device,  ///< at least as long as the device is open
};

/// What a device is opened with. The defaults suit a program that has it to itself.
struct DeviceOptions {
  /// Committed bytes never exceed it. 0: what the device has (host: three quarters of the memory).
  std::size_t memory_limit = 0;
  /// And never more than this part of what the device has, from more than 0 to 1.
  double memory_fraction = 1;
  /// The same for pinned memory. 0: half of the host's memory.
  std::size_t pinned_limit = 0;
  int streams = 32;  ///< 1 to 1024, the default stream included
  /// Beside those, for Device::lease(StreamPriority::high): 0 to 1024; with 0 such leases are ordinary ones.
  int high_priority_streams = 8;
  /// How many streams that others made may be wrapped at once (Device::wrap): 0 to 1024.
  int wrapped_streams = 32;
  /// How many captures may be underway at once (Device::capture), their branches counted: 0 to 64. Graphs may
  /// be as many as fit.
  int captures = 4;
  ExhaustionPolicy exhaustion = ExhaustionPolicy::share;
  std::chrono::milliseconds exhaustion_timeout{1000};  ///< milliseconds::max(): without bound
  int workers = 0;  ///< host: threads that run streams, cuda: host tasks; 0: one a core, at most 16
  /// How device memory is taken. Segments that are whole waste more (docs/decisions/whole-heaps.md).
  SegmentGrowth segments = SegmentGrowth::in_place;
  /// What one thread may keep in its cache of free blocks, and all of them together; of each kind of memory.
  std::size_t thread_cache_bytes = std::size_t{32} << 20;
  std::size_t all_caches_bytes = std::size_t{1} << 30;
  /// Peaks of live bytes exact under concurrency too, for one shared lock an allocation.
  bool exact_peaks = false;
  /// Host: a seed for random delays and a random order between streams. Finds missing waits.
  std::optional<std::uint64_t> chaos = std::nullopt;
  /// Host: names both uses of memory that no wait orders, also where it was freed and allocated again in
  /// between without record_use, and makes freed pages unreadable. The later use
  /// does not run: its command buffer fails with InvalidState, rule "missing-dependency".
  bool protect = false;
  /// CUDA: NVTX ranges around what goes to the device and around host tasks, in the domain "millrace", for
  /// profilers.
  bool nvtx = false;
  /// Asked, with no lock held, when all else failed: frees something and returns true to try again.
  std::function<bool(std::size_t requested)> on_out_of_memory = nullptr;
  /// How long an allocation may wait for pending frees before it gives up; milliseconds::max(): without
  /// bound.
  std::chrono::milliseconds out_of_memory_wait{1000};
};

/// Of one kind of memory, all sizes in bytes. Exact sums of what each thread did; never negative, also while
/// they change.
struct MemoryStats {
  std::size_t live = 0;       ///< in blocks that callers hold
  std::size_t cached = 0;     ///< free, in thread caches
  std::size_t pending = 0;    ///< freed, other streams' work may still use it; pinned: any work
  std::size_t committed = 0;  ///< taken from the device, or from the host and pinned
  std::size_t limit = 0;
  std::size_t peak_live = 0;  ///< exact while one thread uses the device, else within peak_error
  std::size_t peak_error = 0;
  std::size_t peak_committed = 0;  ///< exact
  std::uint64_t allocations = 0;   ///< calls so far
  std::uint64_t frees = 0;
  std::uint64_t allocated_bytes = 0;  ///< totals that only grow
  std::uint64_t freed_bytes = 0;
  std::uint64_t heaps_created = 0;
  std::uint64_t heaps_released = 0;
  std::uint64_t out_of_memory = 0;  ///< errors given out
};

/// Counts since the device was opened, but for the first four, which are now.
struct StreamStats {
  int streams = 0;  ///< of the pool, those of high priority not included
  int leased = 0;
  int wrapped = 0;       ///< streams that others made and somebody has wrapped
  int most_wrapped = 0;  ///< how many there can be at once; 0 where the device has no streams of a driver's
  std::uint64_t leases = 0;
  std::uint64_t shared_leases = 0;    ///< leases of a stream that somebody had already
  std::uint64_t command_buffers = 0;  ///< committed so far
  std::uint64_t handlers_run = 0;
  std::uint64_t handler_exceptions = 0;
  std::uint64_t abandoned_buffers = 0;
};

/// What a device is and can do.
struct DeviceInfo {
  std::string name;  ///< what open takes, as "host:0"
  std::string description;
  std::size_t memory_bytes = 0;
  int workers = 0;
  bool host_tasks = false;         ///< Stream::run works
  bool reads_host_memory = false;  ///< operations read memory that is not the device's in place
  bool driver_streams = false;     ///< Stream::record_native, Device::wrap and capture work
};

/// A backend that has no device here.
struct AbsentBackend {
  std::string name;    ///< "cuda"
  std::string reason;  ///< as "no NVIDIA driver is installed"
};

/// Two uses of the same memory that nothing orders (protect mode).
struct MissingDependency {
  struct Side {
    std::string operation;
    AccessMode mode = AccessMode::read;
    int stream = -1;
    std::uint64_t sequence = 0;  ///< of the command buffer
    SourcePlace place;
  };
  const void* address = nullptr;
  std::size_t bytes = 0;
  Side earlier, later;
};

/// Owns one allocation; frees it when it ends, also after the device has closed.
///
/// Thread safety: one thread at a time changes it; different buffers from any threads.
class MILLRACE_API Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  void* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  template <typename T>
  T* as() const noexcept {
    return static_cast<T*>(data_);
  }
  /// Frees it now. A second call does nothing.
  void reset() noexcept;
  /// Gives up ownership: the caller frees with Device::deallocate.
  void* release() noexcept;

 private:
  friend class Device;
  friend struct detail::Access;
  Buffer(std::uint64_t device, void* data, std::size_t size) : device_(device), data_(data), size_(size) {}
  std::uint64_t device_ = 0;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// One accelerator, shared by all threads. Copies share it; it closes when the last one ends.
/// Streams, events, buffers and command buffers do not keep it open: they find it closed.
///
/// Thread safety: any thread may call anything at any time, close included.
/// Errors of all calls: Closed, ForkedProcess, InvalidArgument; others where they are said.
class MILLRACE_API Device {
 public:
  /// An empty handle; every call throws Closed.
  Device() = default;
  Device(const Device& other) noexcept;
  Device(Device&& other) noexcept;
  Device& operator=(Device other) noexcept;
  /// The last handle closes the device; on one of the device's own threads the close is deferred
  /// until the handler has returned.
  ~Device();

  /// name: "auto" (the host), "host" (host:0), "host:N", "cuda" (cuda:0), "cuda:N" or "cuda:GPU-..." with the
  /// beginning of its UUID. Handles to the same name share one device while it is open; the options count for
  /// whoever opens it first.
  static Device open(std::string_view name = "auto", const DeviceOptions& options = {});
  /// A device of its own, shared with nobody who is not given a copy of the handle.
  static Device create(std::string_view name = "auto", const DeviceOptions& options = {});
  static std::vector<DeviceInfo> available();
  /// Backends that have no device here, and why.
  static std::vector<AbsentBackend> absent();

  /// Waits until submitted work and its handlers are done, tells the handlers of the rest, gives all
  /// memory back. Blocks still allocated are gone. A second close does nothing. Rule
  /// "close-in-handler" on one of the device's own threads.
  void close();
  bool is_open() const noexcept;
  /// The same device, and not another of the same name?
  bool operator==(const Device& other) const noexcept { return core_ == other.core_; }
  const DeviceInfo& info() const;

  /// Memory for use on the calling thread's current stream; usable there at once. Zero bytes give a
  /// unique address. Throws OutOfMemoryError.
  void* allocate(std::size_t bytes, std::size_t alignment = kDefaultAlignment);
  void* allocate(Stream stream, std::size_t bytes, std::size_t alignment = kDefaultAlignment);
  /// Ordered after everything recorded on the stream it was allocated for. Any thread. Null is
  /// ignored; so is everything once the device has closed. Throws InvalidArgument for an address that
  /// is not an allocation, InvalidState, rule "double-free", for one that is free already, and rule
  /// "freed-while-in-use" where another stream's work uses it, which no record_use or record_stream covers
  /// and the host has not seen end. Protect mode takes that free, since it sees what the stream has waited
  /// for: who uses the memory next without being ordered after that work fails with rule
  /// "missing-dependency".
  void deallocate(void* address);
  /// What the live allocation at the address has: what was asked for, rounded up, in bytes. Of any kind of
  /// memory. Throws as deallocate for an address that is none.
  std::size_t size_of(const void* address) const;
  /// Of a live allocation, of any kind of memory: so many bytes were asked for, where whoever allocates for
  /// others rounds up. Reports and MemoryStatistics::requested_bytes say so; a block that has 4 GiB more than
  /// that or yet more counts as if it were 4 GiB. By one thread at a time, while nobody frees it. Throws as
  /// size_of; InvalidArgument for more than the block has.
  void note_requested(const void* address, std::size_t bytes);
  /// allocate, owned.
  Buffer buffer(std::size_t bytes, std::size_t alignment = kDefaultAlignment);
  Buffer buffer(Stream stream, std::size_t bytes, std::size_t alignment = kDefaultAlignment);

  /// Memory of the host's that copies of the device reach at full speed and without holding up a thread, and
  /// its kernels in place; host code reads and writes it like any other. Freed by deallocate too, but what
  /// the stream had recorded by then is done before anybody gets it again, since the next to write may be the
  /// host. It is reused, never waited for, where other memory is free. On a GPU a forked child does not have
  /// it: what touches it there ends by a signal. Throws OutOfMemoryError, Unsupported.
  void* allocate_pinned(std::size_t bytes, std::size_t alignment = kDefaultAlignment);
  void* allocate_pinned(Stream stream, std::size_t bytes, std::size_t alignment = kDefaultAlignment);
  /// allocate_pinned, owned.
  Buffer pinned_buffer(std::size_t bytes, std::size_t alignment = kDefaultAlignment);
  Buffer pinned_buffer(Stream stream, std::size_t bytes, std::size_t alignment = kDefaultAlignment);

  /// The allocation is used by what is recorded on the stream up to now: it is not reused before.
  void record_use(const void* address, Stream stream);
  /// The same for whatever is queued on the stream when the allocation is freed.
  void record_stream(const void* address, Stream stream);
  /// The contents may be thrown away from now on. Rule "purgeable-in-use" while work uses it.
  void make_discardable(void* address);
  /// False if the contents were thrown away meanwhile.
  bool make_resident(void* address);

  /// Kernels and streams of the other device may touch this one's memory from here on, what there is and what
  /// will be. Copies between the two then go from device to device; without it they work too, but slower. It
  /// orders nothing: that is for whoever uses both. Unsupported where the two have no way to each other.
  void grant_access(const Device& other);

  /// The stream the calling thread uses when it names none: a guard's, or the thread's own lease.
  Stream stream();
  Stream default_stream();
  /// A stream for an object rather than a thread. Throws as the exhaustion policy says, for each priority by
  /// itself.
  StreamLease lease(StreamPriority priority = StreamPriority::normal);
  /// A stream that somebody else made becomes one of this device's, beside the pool's, until the last of its
  /// leases ends: memory is allocated for it, work recorded in it, it is waited for and waits, as any other.
  /// CUDA: a cudaStream_t or CUstream of the device's primary context; null is the legacy default stream. It
  /// is known by the driver's number, so that wrapping it again gives the same stream, and another one that
  /// gets its handle later does not.
  ///
  /// Others may put work on it at any time and tell nobody: frees, uses, events and waits cover what is on it
  /// when they are called. Stream::wait, Stream::query and Event::record speak of that work too. What was
  /// recorded comes on it with the commit (host tasks, copies that the driver can't do ahead and what waits
  /// for uncommitted work later: CommandBuffer::status says scheduled, wait for completed). End the lease
  /// before the stream is destroyed, and after the last work on memory that was allocated for it: what is put
  /// on it later is waited for by nobody.
  ///
  /// The end of the last lease blocks until what was committed is on the stream, so that it may be destroyed
  /// then: for host tasks until they are done, so hold no lock that one of them takes. Work that still waits
  /// for uncommitted work is not waited for, and fails with rule "waited-work-abandoned". In a handler or
  /// host task, and while the stream is being captured, nothing can be waited for: end the lease elsewhere,
  /// or keep the stream until Device::synchronize has returned after that.
  ///
  /// Throws InvalidArgument for a stream of another context or device, PoolExhausted beyond
  /// DeviceOptions::wrapped_streams, Unsupported where DeviceInfo::driver_streams is false; rule
  /// "per-thread-default-stream" for cudaStreamPerThread, which is another stream in each thread,
  /// "captured-stream" while it is being captured; closing the device waits until it no longer is. Of a
  /// wrapped stream, calls that need the driver's may throw "captured-stream" too, and "destroyed-stream"
  /// where its handle is another stream's by now; work that finds out later fails with that. A handle that is
  /// nobody's may crash the driver, so do end the lease first.
  ///
  /// StreamLifetime::device: the stream lasts at least as long as the device is open, as a program's own
  /// often do. Then its handle serves as the number does: it may be wrapped while it is being captured, too,
  /// and nobody notices if it is destroyed all the same. It is the same Stream as without that promise, but
  /// where it was wrapped without it before, and is now inside of a capture. PoolExhausted may mean there
  /// that the slots which are not leased have work that it would have to wait for.
  StreamLease wrap(void* native_stream, StreamLifetime lifetime = StreamLifetime::lease);
  /// Begins a capture. Nobody else's capture is disturbed by it, nor by anything else of the device's, in
  /// whatever mode the driver was told to capture. Throws PoolExhausted beyond DeviceOptions::captures,
  /// Unsupported where DeviceInfo::driver_streams is false.
  Capture capture();
  Event event();

  MemoryStats memory(MemoryKind kind = MemoryKind::device) const;
  /// All memory of the kind that is taken from the device, by address. While other threads allocate and free,
  /// each block is shown as it was at some moment of the call: what was allocated before and is freed after
  /// it is live, and blocks fill their segments at any time. Memory that is given back and taken for another
  /// stream meanwhile may be in the segments of both. At quiet points sums are what memory() says. Holds up
  /// nobody but, for as long as one stream's blocks are read, those who take or give back memory of that
  /// stream past their thread's cache.
  std::vector<MemorySegment> memory_segments(MemoryKind kind = MemoryKind::device) const;
  /// The same memory in more figures, of which some are counted block by block: as memory_segments.
  MemoryStatistics memory_statistics(MemoryKind kind = MemoryKind::device) const;
  /// It is told of what happens from here on to memory of all kinds, and kept until the device has closed.
  void add_memory_observer(std::shared_ptr<MemoryObserver> observer);
  StreamStats streams() const;
  /// Protect mode: what was found so far, at most the first thousand. Also of a device that was closed.
  std::vector<MissingDependency> missing_dependencies() const;
  /// Gives every empty granule back, of all kinds of memory; returns the bytes.
  std::size_t trim();
  /// At least what is live, else OutOfMemoryError; trims if it must.
  void set_memory_limit(std::size_t bytes, MemoryKind kind = MemoryKind::device);
  /// The same as a part of what the device has (DeviceInfo::memory_bytes), from more than 0 to 1, in whole
  /// granules.
  void set_memory_fraction(double fraction);
  void reset_peaks();
  /// Re-adds every block of every heap and cache and throws InvalidState, rule "accounting", if they
  /// do not sum to what was committed. Exact only while no other thread allocates or frees.
  void check_accounting() const;

  /// Commits every stream's current buffer (but those that a recorder is open on), waits for all that was
  /// committed and for all handlers. Throws the first failure. Rule "wait-in-own-handler" inside a handler.
  void synchronize();

 private:
  friend struct detail::Access;
  explicit Device(detail::Core* core) noexcept : core_(core) {}  // takes the handle that the caller counted
  detail::Core* core_ = nullptr;
};

/// The device that the calling thread uses when it names none; opened ("auto") when first asked for.
MILLRACE_API Device current_device();

/// Makes a device current on this thread until the end of the scope.
///
/// Thread safety: made, used and ended by one thread. Errors: Closed, ForkedProcess, from the constructor
/// and set alone.
class MILLRACE_API DeviceGuard {
 public:
  explicit DeviceGuard(const Device& device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;
  /// Changes what is current until the end of the scope, which restores what was before the guard.
  void set(const Device& device);
  Device original() const;
  Device current() const;

 private:
  std::uint64_t original_ = 0;
  std::uint64_t current_ = 0;
  std::uint64_t thread_ = 0;
};

/// Makes a stream (and its device) current on this thread until the end of the scope.
///
/// Thread safety: made, used and ended by one thread. Errors: InvalidState ("stale-stream"), Closed,
/// ForkedProcess, from the constructor and set alone.
class MILLRACE_API StreamGuard {
 public:
  explicit StreamGuard(Stream stream);
  ~StreamGuard();
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;
  void set(Stream stream);
  /// What was current on the stream's device before: another guard's stream, the thread's own, or an empty
  /// one where the thread had none yet.
  Stream original() const noexcept { return original_; }
  Stream current() const noexcept { return current_; }

 private:
  Stream original_, current_;
  std::uint64_t original_device_ = 0;
  std::uint64_t thread_ = 0;
};

}  // namespace millrace
