#include <millrace/stream.h>

#include <string>
#include <utility>

#include "api/access.h"
#include "api/operations.h"
#include "stream/pool.h"
#include "sync/clock.h"

namespace millrace {

using detail::Access;

void Stream::copy(void* to, const void* from, std::size_t bytes, SourcePlace place) {
  StreamPool& streams = Access::streams_of(device_, "Stream::copy");
  if (bytes == 0) return streams.check_handle(Access::id_of(*this), "Stream::copy");
  streams.record(Access::id_of(*this), copy_operation(to, from, bytes, place, "Stream::copy"),
                 "Stream::copy");
}

void Stream::fill(void* to, std::uint8_t value, std::size_t bytes, SourcePlace place) {
  StreamPool& streams = Access::streams_of(device_, "Stream::fill");
  if (bytes == 0) return streams.check_handle(Access::id_of(*this), "Stream::fill");
  streams.record(Access::id_of(*this), fill_operation(to, value, bytes, place, "Stream::fill"),
                 "Stream::fill");
}

void Stream::run(std::string name, HostTask task, std::initializer_list<Use> uses, SourcePlace place) {
  run(std::move(name), std::move(task), std::span<const Use>(uses.begin(), uses.size()), place);
}

void Stream::run(std::string name, HostTask task, std::span<const Use> uses, SourcePlace place) {
  StreamPool& streams = Access::streams_of(device_, "Stream::run");
  streams.record(Access::id_of(*this),
                 task_operation(streams.core(), std::move(name), std::move(task), uses, place, "Stream::run"),
                 "Stream::run");
}

Recorder Stream::record() {
  StreamPool& streams = Access::streams_of(device_, "Stream::record");
  return Access::make_recorder(streams.open_recorder(Access::id_of(*this), "Stream::record"));
}

NativeRecorder Stream::record_native(std::initializer_list<Use> uses) {
  StreamPool& streams = Access::streams_of(device_, "Stream::record_native");
  StreamPool::Native native =
      streams.open_native(Access::id_of(*this), {uses.begin(), uses.size()}, "Stream::record_native");
  return Access::make_native_recorder(std::move(native.buffer), native.stream);
}

void Stream::on_scheduled(Handler handler) {
  Access::streams_of(device_, "Stream::on_scheduled")
      .add_handler(Access::id_of(*this), HandlerKind::scheduled,
                   checked(std::move(handler), "Stream::on_scheduled"), "Stream::on_scheduled");
}

void Stream::on_completed(Handler handler) {
  Access::streams_of(device_, "Stream::on_completed")
      .add_handler(Access::id_of(*this), HandlerKind::completed,
                   checked(std::move(handler), "Stream::on_completed"), "Stream::on_completed");
}

CommandBuffer Stream::command_buffer() {
  StreamPool& streams = Access::streams_of(device_, "Stream::command_buffer");
  return Access::make_command_buffer(streams.current_buffer(Access::id_of(*this), "Stream::command_buffer"));
}

CommandBuffer Stream::commit() {
  StreamPool& streams = Access::streams_of(device_, "Stream::commit");
  return Access::make_command_buffer(streams.commit(Access::id_of(*this), "Stream::commit"));
}

void Stream::wait() {
  Access::streams_of(device_, "Stream::wait").wait(Access::id_of(*this), std::nullopt, "Stream::wait");
}

void Stream::wait(std::chrono::nanoseconds limit) {
  const sync::Deadline deadline = sync::deadline_after(limit);
  Access::streams_of(device_, "Stream::wait").wait(Access::id_of(*this), deadline, "Stream::wait");
}

bool Stream::query() const {
  Core& core = Access::open_core_of(device_, "Stream::query");
  return StreamPool::of(core).query(Access::id_of(*this), "Stream::query");
}

void Stream::expect_capture() const {
  Core& core = Access::open_core_of(device_, "Stream::expect_capture");
  StreamPool::of(core).expect_capture(Access::id_of(*this), true, "Stream::expect_capture");
}

void Stream::capture_over() const {
  Core& core = Access::open_core_of(device_, "Stream::capture_over");
  StreamPool::of(core).expect_capture(Access::id_of(*this), false, "Stream::capture_over");
}

namespace {

void end_lease(const Stream& stream) noexcept {
  Access::with_core(Access::device_of(stream), [&](Core& core, Context* mine) {
    StreamPool::of(core).end_lease(mine, Access::id_of(stream).slot);
  });
}

}  // namespace

StreamLease::StreamLease(StreamLease&& other) noexcept : stream_(std::exchange(other.stream_, {})) {}

StreamLease& StreamLease::operator=(StreamLease&& other) noexcept {
  if (this != &other) {
    reset();
    stream_ = std::exchange(other.stream_, {});
  }
  return *this;
}

StreamLease::~StreamLease() {
  reset();
}

void StreamLease::reset() noexcept {
  if (stream_.valid()) end_lease(std::exchange(stream_, {}));
}

}  // namespace millrace
