#include "device/streams.h"

#include <c10/util/Exception.h>
#include <c10/util/ScopeExit.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "device/in_operator.h"
#include "python/without_lock.h"

namespace millrace_torch {
namespace {

// How many operations are recorded before they go to the device without waiting for the one that runs. A
// stream has 64 command buffers in flight, and then its callers wait.
constexpr std::int64_t kBatch = 64;
// How many streams of the device torch.Stream() takes before it hands them out in turn; the rest are for
// threads.
constexpr std::size_t kPooled = 24;

using StreamPointer = std::shared_ptr<OperatorStream>;

struct Entry {
  StreamPointer stream;
  millrace::StreamLease lease;
};

struct StreamsOfDevice {
  std::mutex mutex;                                 // protects what follows
  std::unordered_map<c10::StreamId, Entry> in_use;  // 0 is the default stream
  c10::StreamId next_id = 0;                        // while the device is open, no number is given twice
  std::vector<StreamPointer> pooled[2];             // by priority
  std::size_t next[2] = {0, 0};
};

StreamsOfDevice& streams_of(c10::DeviceIndex device) {
  static auto* const all = new std::array<StreamsOfDevice, 16>;
  return (*all)[static_cast<std::size_t>(device)];
}

// Counts devices that were opened again, so that threads ask anew.
std::atomic<std::uint64_t> epoch{0};

/// The thread's current streams, by device.
struct CurrentStreams {
  std::array<StreamPointer, 16> of;
  std::uint64_t epoch = 0;
  ~CurrentStreams();
};
thread_local bool thread_ends = false;  // what is freed after its current streams may still ask for them
thread_local CurrentStreams current;

CurrentStreams::~CurrentStreams() {
  thread_ends = true;
}

StreamPointer add(StreamsOfDevice& streams, c10::DeviceIndex device, millrace::Stream stream,
                  millrace::StreamLease lease) {
  const c10::StreamId id = streams.next_id++;
  auto made = std::make_shared<OperatorStream>(device, id, stream);
  streams.in_use.emplace(id, Entry{made, std::move(lease)});
  return made;
}

StreamPointer default_of(StreamsOfDevice& streams, c10::DeviceIndex device) {
  if (const auto found = streams.in_use.find(0); found != streams.in_use.end()) return found->second.stream;
  return add(streams, device, translated([&] { return device_of(device).default_stream(); }), {});
}

c10::DeviceIndex index_of(c10::DeviceIndex device) {
  return device < 0 ? current_device() : device;
}

std::vector<StreamPointer> all_streams(c10::DeviceIndex device) {
  StreamsOfDevice& streams = streams_of(index_of(device));
  std::vector<StreamPointer> all;
  const std::lock_guard lock(streams.mutex);
  all.reserve(streams.in_use.size());
  for (const auto& [id, entry] : streams.in_use) all.push_back(entry.stream);
  return all;
}

StreamPointer& current_slot(c10::DeviceIndex device) {
  // relaxed: it changes between operators (BetweenOperators), which orders it for those.
  const std::uint64_t now = epoch.load(std::memory_order_relaxed);
  if (current.epoch != now) {
    current.of.fill(nullptr);
    current.epoch = now;
  }
  TORCH_CHECK(static_cast<std::size_t>(device) < current.of.size(),
              "there is no device millrace:", static_cast<int>(device));
  StreamPointer& mine = current.of[static_cast<std::size_t>(device)];
  if (mine == nullptr) mine = default_stream(device);
  return mine;
}

}  // namespace

void OperatorStream::recorded() {
  // acq_rel: what was recorded before is seen by whoever finds it counted (ended), and the other way round.
  const std::int64_t before = unfinished_.fetch_add(1, std::memory_order_acq_rel);
  if (before <= 0 || before % kBatch == 0) commit();
}

void OperatorStream::ended() noexcept {
  // acq_rel: see recorded.
  if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) <= 1) return;
  try {
    commit();
  } catch (const std::exception&) {
    // Closed meanwhile, or without memory: whoever waits commits.
  }
}

void OperatorStream::keep_ended(std::shared_ptr<EndedCall> call) noexcept {
  EndedCall* const node = call.get();
  node->self = std::move(call);
  node->next = ended_calls_.load(std::memory_order_relaxed);  // relaxed: the exchange below decides
  // release: pairs with the acquire in destroy_ended.
  while (!ended_calls_.compare_exchange_weak(node->next, node, std::memory_order_release,
                                             std::memory_order_relaxed)) {
  }
}

void OperatorStream::destroy_ended() noexcept {
  if (ended_calls_.load(std::memory_order_relaxed) == nullptr) return;  // relaxed: a hint
  // acquire: pairs with the release in keep_ended.
  EndedCall* call = ended_calls_.exchange(nullptr, std::memory_order_acquire);
  while (call != nullptr) {
    const std::shared_ptr<EndedCall> ended = std::move(call->self);
    call = call->next;
  }
}

void OperatorStream::commit() {
  translated([&] { millrace::Stream(stream_).commit(); });
}

bool OperatorStream::is_done() const {
  // acquire: pairs with the release in ended.
  if (unfinished_.load(std::memory_order_acquire) > 0) return false;
  return translated([&] { return stream_.query(); });
}

void OperatorStream::wait() {
  const WithoutLock free;
  const auto destroy = c10::make_scope_exit([this] { destroy_ended(); });
  translated([&] { millrace::Stream(stream_).wait(); });
}

// What takes a stream of a device is in an operator, so that the device is not opened again meanwhile.

StreamPointer default_stream(c10::DeviceIndex device) {
  const InOperator in_operator;
  device = index_of(device);
  (void)device_of(device);  // opens it, outside the lock
  StreamsOfDevice& streams = streams_of(device);
  const std::lock_guard lock(streams.mutex);
  return default_of(streams, device);
}

OperatorStream& current_stream(c10::DeviceIndex device) {
  device = index_of(device);
  if (thread_ends) return *default_stream(device);  // which lasts
  return *current_slot(device);
}

StreamPointer stream_of(const c10::Stream& stream) {
  TORCH_CHECK(stream.device_type() == kMillrace, "a stream of ", stream.device(),
              " was given; it has to be one of millrace");
  const c10::DeviceIndex device = stream.device_index();
  if (stream.id() == 0) return default_stream(device);
  StreamsOfDevice& streams = streams_of(index_of(device));
  const std::lock_guard lock(streams.mutex);
  TORCH_CHECK(stream.id() > 0 && stream.id() < streams.next_id, "there is no stream ", stream.id(), " of ",
              stream.device());
  const auto found = streams.in_use.find(stream.id());
  TORCH_CHECK(found != streams.in_use.end(), "stream ", stream.id(), " of ", stream.device(),
              " has been given back; it was its thread's until then");
  return found->second.stream;
}

c10::Stream exchange_stream(StreamPointer stream) {
  StreamPointer& mine = current_slot(stream->device());
  const c10::Stream before = mine->for_torch();
  mine = std::move(stream);
  return before;
}

StreamPointer pooled_stream(c10::DeviceIndex device, int priority) {
  const InOperator in_operator;
  device = index_of(device);
  millrace::Device& on = device_of(device);
  const int kind = priority < 0 ? 1 : 0;
  const millrace::DeviceOptions options = configured().options;
  StreamsOfDevice& streams = streams_of(device);
  const std::lock_guard lock(streams.mutex);
  (void)default_of(streams, device);
  auto& pooled = streams.pooled[kind];
  const auto most = kind == 1 ? static_cast<std::size_t>(options.high_priority_streams) : kPooled;
  if (pooled.size() < std::max<std::size_t>(most, 1)) {
    millrace::StreamLease lease = translated([&] {
      return on.lease(kind == 1 ? millrace::StreamPriority::high : millrace::StreamPriority::normal);
    });
    const millrace::Stream stream = lease.stream();
    pooled.push_back(add(streams, device, stream, std::move(lease)));
    return pooled.back();
  }
  return pooled[streams.next[kind]++ % pooled.size()];
}

StreamPointer lease_stream(c10::DeviceIndex device) {
  const InOperator in_operator;
  device = index_of(device);
  millrace::StreamLease lease = translated([&] { return device_of(device).lease(); });
  StreamsOfDevice& streams = streams_of(device);
  const std::lock_guard lock(streams.mutex);
  (void)default_of(streams, device);
  const millrace::Stream stream = lease.stream();
  return add(streams, device, stream, std::move(lease));
}

void give_back_stream(OperatorStream& stream) noexcept {
  try {
    stream.wait();
  } catch (const std::exception&) {
    // Whoever waits for the device hears of it.
  }
  StreamsOfDevice& streams = streams_of(stream.device());
  Entry ended;  // after the lock
  const std::lock_guard lock(streams.mutex);
  const auto found = streams.in_use.find(stream.id());
  if (found == streams.in_use.end() || found->second.stream.get() != &stream) return;
  ended = std::move(found->second);
  streams.in_use.erase(found);
}

c10::StreamId id_of_runtime_stream(c10::DeviceIndex device, int number) {
  for (const StreamPointer& stream : all_streams(device)) {
    if (stream->get().id() == number) return stream->id();
  }
  return -1;
}

void record_use_on_all(c10::DeviceIndex device, const void* address) {
  for (const StreamPointer& stream : all_streams(device))
    device_of(device).record_use(address, stream->get());
}

void commit_all(c10::DeviceIndex device) {
  for (const StreamPointer& stream : all_streams(device)) stream->commit();
}

void forget_streams(c10::DeviceIndex device) {
  StreamsOfDevice& streams = streams_of(device);
  const std::lock_guard lock(streams.mutex);
  streams.in_use.clear();
  for (auto& pooled : streams.pooled) pooled.clear();
  streams.next_id = 0;
  epoch.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace millrace_torch
