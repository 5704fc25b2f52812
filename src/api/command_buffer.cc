#include <exception>
#include <string>
#include <utility>

#include <millrace/stream.h>

#include "api/access.h"
#include "api/operations.h"
#include "device/fork.h"
#include "stream/command_buffer.h"
#include "stream/pool.h"
#include "sync/clock.h"

namespace millrace {

using detail::Access;
using detail::BufferState;

namespace {

/// What the handle stands for; the caller's reference keeps it.
BufferState& state_of(BufferState* state, const char* call) {
  refuse_in_forked_child(call);
  if (state == nullptr) {
    throw Error(ErrorCode::Closed, "the handle is empty: take one from a Stream",
                {.call = call, .device = {}, .rule = {}});
  }
  return *state;
}

StreamPool& pool_of(const BufferState& state) {
  return StreamPool::of(state.core());
}

BufferState* share(BufferState* state) noexcept {
  if (state != nullptr && !forked()) state->add_ref();
  return state;
}

void drop(BufferState* state) noexcept {
  // The core may go with it; a forked child leaves all that alone.
  if (state != nullptr && !forked()) state->drop_ref();
}

}  // namespace

CommandBuffer::CommandBuffer(const CommandBuffer& other) noexcept : state_(share(other.state_)) {}
CommandBuffer::CommandBuffer(CommandBuffer&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
CommandBuffer& CommandBuffer::operator=(CommandBuffer other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
CommandBuffer::~CommandBuffer() {
  drop(state_);
}

BufferStatus CommandBuffer::status() const {
  return state_of(state_, "CommandBuffer::status").status();
}

std::exception_ptr CommandBuffer::error() const {
  BufferState& state = state_of(state_, "CommandBuffer::error");
  return is_final(state.status()) ? state.stream().failure_of(state).exception() : nullptr;
}

Recorder CommandBuffer::record() {
  BufferState& state = state_of(state_, "CommandBuffer::record");
  pool_of(state).open_recorder(state, "CommandBuffer::record");
  return Access::make_recorder(sync::Ref<BufferState>::share(&state));
}

void CommandBuffer::on_scheduled(Handler handler) {
  BufferState& state = state_of(state_, "CommandBuffer::on_scheduled");
  pool_of(state).add_handler(state, HandlerKind::scheduled,
                             checked(std::move(handler), "CommandBuffer::on_scheduled"),
                             "CommandBuffer::on_scheduled");
}

void CommandBuffer::on_completed(Handler handler) {
  BufferState& state = state_of(state_, "CommandBuffer::on_completed");
  pool_of(state).add_handler(state, HandlerKind::completed,
                             checked(std::move(handler), "CommandBuffer::on_completed"),
                             "CommandBuffer::on_completed");
}

void CommandBuffer::commit() {
  BufferState& state = state_of(state_, "CommandBuffer::commit");
  pool_of(state).commit(state, "CommandBuffer::commit");
}

void CommandBuffer::abandon() {
  BufferState& state = state_of(state_, "CommandBuffer::abandon");
  pool_of(state).abandon(state, "CommandBuffer::abandon");
}

void CommandBuffer::wait() {
  BufferState& state = state_of(state_, "CommandBuffer::wait");
  pool_of(state).wait(state, std::nullopt, "CommandBuffer::wait");
}

void CommandBuffer::wait(std::chrono::nanoseconds limit) {
  const sync::Deadline deadline = sync::deadline_after(limit);
  BufferState& state = state_of(state_, "CommandBuffer::wait");
  pool_of(state).wait(state, deadline, "CommandBuffer::wait");
}

namespace {

/// The buffer of a recorder that has not ended.
BufferState& open_state_of(BufferState* state, const char* call) {
  refuse_in_forked_child(call);
  if (state != nullptr) return *state;
  throw_rule("encode-after-end",
             "the Recorder has ended (or was moved from); open a new one with Stream::record",
             {.call = call, .device = {}, .rule = {}});
}

}  // namespace

Recorder::Recorder(Recorder&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

Recorder::~Recorder() {
  if (state_ == nullptr || forked()) return;
  state_->stream().drop_recorder(*state_);
  drop(state_);
}

Recorder& Recorder::copy(void* to, const void* from, std::size_t bytes, SourcePlace place) {
  BufferState& state = open_state_of(state_, "Recorder::copy");
  if (bytes == 0) return *this;
  pool_of(state).record(state, copy_operation(to, from, bytes, place, "Recorder::copy"), "Recorder::copy");
  return *this;
}

Recorder& Recorder::fill(void* to, std::uint8_t value, std::size_t bytes, SourcePlace place) {
  BufferState& state = open_state_of(state_, "Recorder::fill");
  if (bytes == 0) return *this;
  pool_of(state).record(state, fill_operation(to, value, bytes, place, "Recorder::fill"), "Recorder::fill");
  return *this;
}

Recorder& Recorder::run(std::string name, HostTask task, std::initializer_list<Use> uses, SourcePlace place) {
  return run(std::move(name), std::move(task), std::span<const Use>(uses.begin(), uses.size()), place);
}

Recorder& Recorder::run(std::string name, HostTask task, std::span<const Use> uses, SourcePlace place) {
  BufferState& state = open_state_of(state_, "Recorder::run");
  pool_of(state).record(
      state, task_operation(state.core(), std::move(name), std::move(task), uses, place, "Recorder::run"),
      "Recorder::run");
  return *this;
}

void Recorder::end() {
  BufferState& state = open_state_of(state_, "Recorder::end");
  pool_of(state).end_recorder(state, "Recorder::end");
  drop(std::exchange(state_, nullptr));
}

NativeRecorder::NativeRecorder(NativeRecorder&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)), stream_(std::exchange(other.stream_, nullptr)) {}

NativeRecorder::~NativeRecorder() {
  end();
}

void* NativeRecorder::stream() const {
  constexpr const char* kCall = "NativeRecorder::stream";
  refuse_in_forked_child(kCall);
  if (state_ == nullptr) {
    throw_rule("encode-after-end",
               "the NativeRecorder has ended (or was moved from); open a new one with Stream::record_native",
               {.call = kCall, .device = {}, .rule = {}});
  }
  if (state_->status() != BufferStatus::recording) {
    throw_rule(
        "encode-after-commit",
        "the command buffer was given up, its stream's lease has ended or the device was closed: what is put "
        "on the driver's stream from here on would be ordered with nothing",
        state_->core().error_context(kCall, state_->queue()));
  }
  return stream_;
}

void NativeRecorder::end() noexcept {
  BufferState* const state = std::exchange(state_, nullptr);
  if (state == nullptr || forked()) return;
  state->stream().close_native(*state);
  drop(state);
}

}  // namespace millrace
