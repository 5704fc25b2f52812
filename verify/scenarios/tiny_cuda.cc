#include "tiny_cuda.h"

#include "backends/cuda/driver.h"
#include "backends/cuda/own_queues.h"
#include "backends/cuda/reduce/kernels.h"
#include "backends/cuda/reduce/launch.h"
#include "backends/cuda/reduce/packs.h"
#include "backends/cuda/reduce/reduce.h"
#include "backends/cuda/reduce/ticket_words.h"
#include "backends/cuda/reduce/tickets.h"

namespace millrace::verify {
namespace {

struct Stream;

/// All that was put on a stream before it. Written by who records it, who owns the stream: plain, so that a
/// stream which two use at once, or an event that is recorded while somebody asks for it, is a race.
struct Event {
  const Stream* stream = nullptr;
  std::size_t count = 0;
  bool captured = false;  // recorded in a capture: nobody can ask for it
};

struct Stream {
  struct Entry {
    CudaWork* work = nullptr;  // null: it waits for the event
    Event event{};
  };
  std::array<Entry, 8> entries;
  std::size_t count = 0;
  std::size_t reductions = 0;  // launched; as entries
  interleave::atomic<bool> captured{false};
  interleave::atomic<bool> spoilt{false};
  interleave::atomic<bool> gone{false};
};

// The one that its owner has destroyed.
interleave::atomic<const Stream*> destroyed{nullptr};

// Of the run: how many reductions were launched, and have to be before an event is recorded.
interleave::atomic<std::size_t> launched{0};
std::size_t launched_of_each = 0;

// A sum's place, and the largest input there is.
constexpr std::uintptr_t kTensors = std::uintptr_t{1} << 32, kPlace = std::uintptr_t{1} << 23;
constexpr std::uintptr_t kPlaces = 16;
// The tickets' words are addresses only; whose they are is plain, so that two streams that have the same ones
// race.
constexpr std::uintptr_t kTickets = std::uintptr_t{1} << 40, kSet = std::uintptr_t{1} << 16;
std::array<const void*, 4> ticket_owners{};

Stream& stream_of(CUstream stream) {
  return *reinterpret_cast<Stream*>(stream);
}
Event& event_of(CUevent event) {
  return *reinterpret_cast<Event*>(event);
}

CUresult ask(const Event& event) {
  if (event.captured) return CUDA_ERROR_CAPTURED_EVENT;
  for (std::size_t i = 0; i < event.count; ++i) {
    const Stream::Entry& entry = event.stream->entries[i];
    const CUresult answer = entry.work != nullptr ? entry.work->ask() : ask(entry.event);
    if (answer != CUDA_SUCCESS) return answer;
  }
  return CUDA_SUCCESS;
}

void wait(const Stream& stream) {
  for (std::size_t i = 0; i < stream.count; ++i)
    if (stream.entries[i].work != nullptr) static_cast<void>(stream.entries[i].work->wait());
}
bool is_captured(const Stream& stream) {
  return stream.captured.load(std::memory_order_acquire);
}
bool is_gone(const Stream& stream) {
  return stream.gone.load(std::memory_order_acquire);
}
/// What no capture bears from another thread.
void touch(Stream& stream) {
  if (is_captured(stream)) stream.spoilt.store(true, std::memory_order_release);
}

cuda::Driver make_driver() {
  cuda::Driver made;
  made.capture_mode = [](CUstreamCaptureMode*) { return CUDA_SUCCESS; };
  made.stream_create = [](CUstream* stream, unsigned, int) {
    *stream = reinterpret_cast<CUstream>(new (std::nothrow) Stream);
    return *stream == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
  };
  made.stream_destroy = [](CUstream stream) {
    delete &stream_of(stream);
    return CUDA_SUCCESS;
  };
  made.stream_wait_event = [](CUstream stream, CUevent event, unsigned) {
    Stream& waiting = stream_of(stream);
    touch(waiting);
    waiting.entries.at(waiting.count++) = {nullptr, event_of(event)};
    return CUDA_SUCCESS;
  };
  made.event_create = [](CUevent* event, unsigned) {
    *event = reinterpret_cast<CUevent>(new (std::nothrow) Event);
    return *event == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
  };
  made.event_destroy = [](CUevent event) {
    delete &event_of(event);
    return CUDA_SUCCESS;
  };
  made.event_record = [](CUevent event, CUstream stream) {
    if (is_gone(stream_of(stream))) return CUDA_ERROR_INVALID_HANDLE;
    touch(stream_of(stream));
    if (launched_of_each != 0) INTERLEAVE_EXPECT(stream_of(stream).reductions % launched_of_each == 0);
    event_of(event) = {&stream_of(stream), stream_of(stream).count, is_captured(stream_of(stream))};
    return CUDA_SUCCESS;
  };
  made.event_query = [](CUevent event) { return ask(event_of(event)); };
  made.graph_launch = [](CUgraphExec work, CUstream stream) {
    Stream& given = stream_of(stream);
    auto* const launched = reinterpret_cast<CudaWork*>(work);
    if (launched->when_launched) launched->when_launched();
    touch(given);
    if (is_gone(given)) return CUDA_ERROR_INVALID_HANDLE;
    if (is_captured(given)) return CUDA_SUCCESS;  // the graph's, and not run
    given.entries.at(given.count++).work = launched;
    return CUDA_SUCCESS;
  };
  made.stream_capturing = [](CUstream stream, CUstreamCaptureStatus* status) {
    *status =
        is_captured(stream_of(stream)) ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
  };
  made.stream_context = [](CUstream, CUcontext* context) {
    *context = nullptr;  // all of them are the device's
    return CUDA_SUCCESS;
  };
  made.stream_id = [](CUstream stream, unsigned long long* id) {
    touch(stream_of(stream));
    *id = kStreamNumber;
    return is_gone(stream_of(stream)) ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
  };
  made.stream_query = [](CUstream stream) {
    touch(stream_of(stream));
    return CUDA_SUCCESS;
  };
  made.stream_synchronize = [](CUstream stream) {
    touch(stream_of(stream));
    if (is_captured(stream_of(stream))) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    wait(stream_of(stream));
    return CUDA_SUCCESS;
  };
  // All that any scenario needs of it.
  made.context_synchronize = [] {
    if (const Stream* stream = destroyed.load(std::memory_order_acquire)) wait(*stream);
    return CUDA_SUCCESS;
  };
  made.pointer_attributes = [](unsigned, CUpointer_attribute*, void**, CUdeviceptr) {
    return CUDA_ERROR_INVALID_VALUE;  // it knows of no address
  };
  return made;
}

const cuda::Driver tiny_driver = make_driver();

struct Range {
  std::uintptr_t begin, end;
  bool meets(const Range& other) const { return begin < other.end && other.begin < end; }
};

/// The stream that counts with these tickets; null: none does.
const void*& owner_of(const unsigned* words) {
  return ticket_owners.at((reinterpret_cast<std::uintptr_t>(words) - kTickets) / kSet);
}

/// What the kernels would be given: C11, and C13.
void take_launch(const cuda::ReducePlan& plan, std::span<const cuda::PackItem> items, cudaStream_t stream) {
  const auto number = [](const void* address) { return reinterpret_cast<std::uintptr_t>(address); };
  const std::uintptr_t bytes = number(plan.input_end) - number(plan.input);
  for (const cuda::PackItem& item : items) {
    const Range written{number(item.output), number(item.output) + sizeof(float)};
    for (const cuda::PackItem& other : items) {
      if (&other == &item) continue;
      INTERLEAVE_EXPECT(!written.meets({number(other.input), number(other.input) + bytes}));
      INTERLEAVE_EXPECT(item.output != other.output);
      INTERLEAVE_EXPECT(item.tickets == nullptr || item.tickets != other.tickets);
    }
    if (item.tickets == nullptr) continue;
    const void*& owner = owner_of(item.tickets);
    INTERLEAVE_EXPECT(owner == nullptr || owner == stream);
    owner = stream;
  }
  launched.fetch_add(items.size(), std::memory_order_relaxed);
  if (launched_of_each != 0) stream_of(stream).reductions += items.size();
}

}  // namespace

ReduceWork sum_of(int input, int result, bool split) {
  ReduceWork work;
  const std::int64_t count = split ? std::int64_t{1} << 20 : 1024;
  work.input = reinterpret_cast<const void*>(kTensors + kPlace * static_cast<std::uintptr_t>(input));
  work.output = reinterpret_cast<void*>(kTensors + kPlace * static_cast<std::uintptr_t>(result));
  if (split) work.scratch = static_cast<std::byte*>(work.output) + (kPlace >> 1);
  work.reduced = {count};
  work.reduced_strides = {1};
  work.reduced_count = count;
  return work;
}
Operation sum_operation(int input, int result, bool split) {
  Operation made;
  made.work = sum_of(input, result, split);
  made.name = "sum";
  return made;
}
std::size_t reductions_launched() {
  return launched.load(std::memory_order_relaxed);
}
void expect_reductions_of_each(std::size_t count) {
  launched_of_each = count;
  launched.store(0, std::memory_order_relaxed);
  ticket_owners = {};
}
void forget_tickets(const unsigned* words) {
  owner_of(words) = nullptr;
}

bool CudaQueues::NoMemory::contains(const void* address, std::size_t) const noexcept {
  const auto number = reinterpret_cast<std::uintptr_t>(address);
  return number >= kTensors && number < kTensors + kPlaces * kPlace;
}

CUresult CudaWork::ask() {
  State state = state_.load(std::memory_order_acquire);
  bool& asked = asked_.at(interleave::detail::thread_self());
  if (state == State::running) {
    if (!asked) {
      asked = true;
      return CUDA_ERROR_NOT_READY;
    }
    return wait();
  }
  return state == State::done ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
}

CUresult CudaWork::wait() {
  const State ended = interleave::await(
      state_, [](State now) { return now != State::running; }, std::memory_order_acquire);
  return ended == State::done ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
}

CudaStream::CudaStream() : stream_(reinterpret_cast<CUstream>(new Stream)) {}
CudaStream::~CudaStream() {
  delete &stream_of(stream_);
}
void CudaStream::put(CudaWork& work) {
  Stream& stream = stream_of(stream_);
  stream.entries.at(stream.count++).work = &work;
}
void CudaStream::begin_capture() {
  stream_of(stream_).captured.store(true, std::memory_order_release);
}
void CudaStream::end_capture() {
  stream_of(stream_).captured.store(false, std::memory_order_release);
}
bool CudaStream::is_spoilt() const {
  return stream_of(stream_).spoilt.load(std::memory_order_acquire);
}
void CudaStream::destroy() {
  destroyed.store(&stream_of(stream_), std::memory_order_release);
  stream_of(stream_).gone.store(true, std::memory_order_release);
}

std::size_t marked_by(CUevent event) {
  return event_of(event).count;
}

Operation CudaWork::operation() {
  Operation made;
  made.work = GraphWork{sync::Ref<DeviceGraph>::share(this)};
  made.name = "work";
  return made;
}

CudaQueues::CudaQueues(int queues, TinySink& sink, int workers, Start start)
    : sink_(sink),
      queues_(sync::make_ref<cuda::Queues>(
          cuda::Queues::Options{.queues = queues, .workers = workers, .nvtx = false}, sink, "cuda", nullptr,
          memory_)) {
  cuda::OwnQueues::open([](const cuda::Queues*) {});  // the checker calls a hook in any case
  if (start == Start::by_hand) return;
  started_ = queues_->start();
  INTERLEAVE_EXPECT(started_.ok() || start == Start::may_fail);
}

void CudaQueues::try_to_start() {
  try {
    started_ = queues_->start();
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace millrace::verify

// What the backend's other sources say of the driver and of memory.
namespace millrace::cuda {

const Driver& driver() noexcept {
  return verify::tiny_driver;
}
std::string describe(CUresult result) {
  return "CUDA error " + std::to_string(static_cast<int>(result));
}
bool is_fatal(CUresult result) noexcept {
  return result == CUDA_ERROR_LAUNCH_FAILED;
}
Status status_of(CUresult result, const std::string& asked, const std::string& device, int stream) {
  if (result == CUDA_SUCCESS) return {};
  return Status(is_fatal(result) ? ErrorCode::DeviceLost : ErrorCode::WorkFailed, asked + describe(result),
                {.call = {}, .device = device, .stream = stream, .rule = {}});
}
ContextScope::ContextScope(CUcontext) noexcept {}
ContextScope::~ContextScope() = default;

Memory::Memory(const Properties& properties, std::string device)
    : device_(std::move(device)),
      no_memory_(ErrorCode::OutOfMemory, "none"),
      peers_(properties.device, device_),
      pinned_(properties, device_) {}
Status Memory::open(CUcontext) {
  return {};
}
void Memory::leak() noexcept {}
std::optional<MemoryRoom> Memory::room() const noexcept {
  return std::nullopt;
}

CUresult hold_primary_context(CUdevice, CUcontext* context) noexcept {
  *context = nullptr;
  return CUDA_SUCCESS;
}
cudaError_t launch_items(const ReducePlan& plan, std::span<const PackItem> items, cudaStream_t stream) {
  verify::take_launch(plan, items, stream);
  return cudaSuccess;
}
Status launch_reduce(const ReduceWork& work, void* scratch, unsigned* tickets, cudaStream_t stream) {
  const PackItem item{work.input, work.output, scratch, tickets};
  verify::take_launch(plan_reduce(work), {&item, 1}, stream);
  return {};
}
Status launch_failure(const ReduceWork&, std::size_t, cudaError_t) {
  return {};
}
ReduceKernels kernels_for(const ReducePlan&) noexcept {
  return {sizeof(double), nullptr, nullptr};
}
std::size_t accumulator_bytes(const ReducePlan&, const ReduceKernels&) noexcept {
  return sizeof(double);
}
unsigned* ticket_words(int set) noexcept {
  return reinterpret_cast<unsigned*>(verify::kTickets + verify::kSet * static_cast<std::uintptr_t>(set));
}

}  // namespace millrace::cuda
