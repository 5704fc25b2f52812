#include "device/streams.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "python/without_lock.h"

namespace millrace_torch {
namespace {

// How many operations are recorded before they go to the device without waiting for the one that runs. A
// stream has 64 command buffers in flight, and then its callers wait.
constexpr std::int64_t kBatch = 64;
// How many streams of the device torch.Stream() takes before it hands them out in turn; the rest are for
// threads.
constexpr std::size_t kPooled = 24;

struct Entry {
  millrace::StreamLease lease;
  std::unique_ptr<OperatorStream> stream;  // kept for ever: threads may have it as their current one
  bool given_back = false;
};

struct StreamsOfDevice {
  std::mutex mutex;                    // protects what follows
  std::vector<Entry> entries;          // the first is the default stream
  std::vector<std::size_t> pooled[2];  // by priority
  std::size_t next[2] = {0, 0};
  std::vector<Entry> forgotten;
};

StreamsOfDevice& streams_of(c10::DeviceIndex device) {
  static auto* const all = new std::array<StreamsOfDevice, 16>;
  return (*all)[static_cast<std::size_t>(device)];
}

thread_local std::array<OperatorStream*, 16> current{};
// Counts devices that were opened again, so that threads ask anew.
std::atomic<std::uint64_t> epoch{0};
thread_local std::uint64_t current_epoch = 0;

OperatorStream& add(StreamsOfDevice& streams, c10::DeviceIndex device, millrace::Stream stream,
                    millrace::StreamLease lease) {
  const auto id = static_cast<c10::StreamId>(streams.entries.size());
  streams.entries.push_back({std::move(lease), std::make_unique<OperatorStream>(device, id, stream)});
  return *streams.entries.back().stream;
}

OperatorStream& default_of(StreamsOfDevice& streams, c10::DeviceIndex device) {
  if (streams.entries.empty()) {
    add(streams, device, translated([&] { return device_of(device).default_stream(); }), {});
  }
  return *streams.entries.front().stream;
}

c10::DeviceIndex index_of(c10::DeviceIndex device) {
  return device < 0 ? current_device() : device;
}

std::vector<OperatorStream*> all_streams(c10::DeviceIndex device) {
  StreamsOfDevice& streams = streams_of(index_of(device));
  std::vector<OperatorStream*> all;
  const std::lock_guard lock(streams.mutex);
  for (const Entry& entry : streams.entries) {
    if (!entry.given_back) all.push_back(entry.stream.get());
  }
  return all;
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
  translated([&] { millrace::Stream(stream_).wait(); });
}

OperatorStream& default_stream(c10::DeviceIndex device) {
  device = index_of(device);
  (void)device_of(device);  // opens it, outside the lock
  StreamsOfDevice& streams = streams_of(device);
  const std::lock_guard lock(streams.mutex);
  return default_of(streams, device);
}

OperatorStream& current_stream(c10::DeviceIndex device) {
  device = index_of(device);
  // relaxed: a device is opened again by whoever has nothing on it.
  const std::uint64_t now = epoch.load(std::memory_order_relaxed);
  if (current_epoch != now) {
    current.fill(nullptr);
    current_epoch = now;
  }
  TORCH_CHECK(static_cast<std::size_t>(device) < current.size(),
              "there is no device millrace:", static_cast<int>(device));
  OperatorStream*& mine = current[static_cast<std::size_t>(device)];
  if (mine == nullptr) mine = &default_stream(device);
  return *mine;
}

OperatorStream& stream_of(const c10::Stream& stream) {
  TORCH_CHECK(stream.device_type() == kMillrace, "a stream of ", stream.device(),
              " was given; it has to be one of millrace");
  const c10::DeviceIndex device = stream.device_index();
  if (stream.id() == 0) return default_stream(device);
  StreamsOfDevice& streams = streams_of(index_of(device));
  const std::lock_guard lock(streams.mutex);
  const auto index = static_cast<std::size_t>(stream.id());
  TORCH_CHECK(stream.id() > 0 && index < streams.entries.size(), "there is no stream ", stream.id(), " of ",
              stream.device());
  Entry& entry = streams.entries[index];
  TORCH_CHECK(!entry.given_back, "stream ", stream.id(), " of ", stream.device(),
              " has been given back; it was its thread's until then");
  return *entry.stream;
}

OperatorStream& exchange_stream(OperatorStream& stream) {
  OperatorStream& before = current_stream(stream.device());
  current[static_cast<std::size_t>(stream.device())] = &stream;
  return before;
}

OperatorStream& pooled_stream(c10::DeviceIndex device, int priority) {
  device = index_of(device);
  millrace::Device& on = device_of(device);
  const int kind = priority < 0 ? 1 : 0;
  StreamsOfDevice& streams = streams_of(device);
  const std::lock_guard lock(streams.mutex);
  (void)default_of(streams, device);
  auto& pooled = streams.pooled[kind];
  const auto options = configured().options;
  const auto most = kind == 1 ? static_cast<std::size_t>(options.high_priority_streams) : kPooled;
  if (pooled.size() < std::max<std::size_t>(most, 1)) {
    millrace::StreamLease lease = translated([&] {
      return on.lease(kind == 1 ? millrace::StreamPriority::high : millrace::StreamPriority::normal);
    });
    const millrace::Stream stream = lease.stream();
    pooled.push_back(streams.entries.size());
    return add(streams, device, stream, std::move(lease));
  }
  return *streams.entries[pooled[streams.next[kind]++ % pooled.size()]].stream;
}

OperatorStream& lease_stream(c10::DeviceIndex device) {
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
  millrace::StreamLease lease;  // ends after the lock
  const std::lock_guard lock(streams.mutex);
  const auto index = static_cast<std::size_t>(stream.id());
  if (index >= streams.entries.size() || streams.entries[index].stream.get() != &stream) return;
  streams.entries[index].given_back = true;
  lease = std::move(streams.entries[index].lease);
}

c10::StreamId id_of_runtime_stream(c10::DeviceIndex device, int number) {
  for (const OperatorStream* const stream : all_streams(device)) {
    if (stream->get().id() == number) return stream->id();
  }
  return -1;
}

void record_use_on_all(c10::DeviceIndex device, const void* address) {
  for (const OperatorStream* const stream : all_streams(device))
    device_of(device).record_use(address, stream->get());
}

void commit_all(c10::DeviceIndex device) {
  for (OperatorStream* const stream : all_streams(device)) stream->commit();
}

void forget_streams(c10::DeviceIndex device) {
  StreamsOfDevice& streams = streams_of(device);
  const std::lock_guard lock(streams.mutex);
  for (Entry& entry : streams.entries) streams.forgotten.push_back(std::move(entry));
  streams.entries.clear();
  for (auto& pooled : streams.pooled) pooled.clear();
  epoch.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace millrace_torch
