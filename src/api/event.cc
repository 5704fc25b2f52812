#include <millrace/event.h>

#include <string>
#include <utility>

#include "api/access.h"
#include "device/core.h"
#include "device/status.h"
#include "event/pool.h"
#include "event/slot.h"
#include "stream/pool.h"
#include "sync/clock.h"

namespace millrace {

using detail::Access;

namespace {

void check_same_device(std::uint64_t event, std::uint64_t other, const char* call) {
  if (event == other) return;
  throw Error(ErrorCode::InvalidArgument, "the event is of another device; take one from the same Device",
              {.call = call, .device = {}, .rule = {}});
}

}  // namespace

Event::Event(Event&& other) noexcept
    : device_(std::exchange(other.device_, 0)), slot_(other.slot_), lease_(other.lease_) {}

Event& Event::operator=(Event&& other) noexcept {
  if (this != &other) {
    reset();
    device_ = std::exchange(other.device_, 0);
    slot_ = other.slot_;
    lease_ = other.lease_;
  }
  return *this;
}

Event::~Event() {
  reset();
}

void Event::reset() noexcept {
  if (device_ == 0) return;
  const std::uint64_t device = std::exchange(device_, 0);
  Access::with_core(device, [&](Core& core, Context* mine) {
    EventPool::of(core).put(mine, {slot_, lease_});
  });
}

void Event::record(Stream stream) {
  Core& core = Access::context_of(device_, "Event::record").core();
  check_same_device(device_, Access::device_of(stream), "Event::record");
  EventPool& events = EventPool::of(core);
  EventSlot& marked = events.slot(slot_);
  StreamPool::of(core).set_mark(Access::id_of(stream), marked, "Event::record");
  events.return_old_native(marked);
}

void Stream::wait_event(const Event& event) {
  Core& core = Access::context_of(device_, "Stream::wait_event").core();
  check_same_device(Access::device_of(event), device_, "Stream::wait_event");
  const TimelinePoint point = EventPool::of(core).slot(Access::slot_of(event)).point();
  StreamPool::of(core).wait_for(Access::id_of(*this), point, "Stream::wait_event");
}

bool Event::query() const {
  Core& core = Access::open_core_of(device_, "Event::query");
  const TimelinePoint point = EventPool::of(core).slot(slot_).point();
  StreamPool::of(core).refuse_captured(point, "Event::query");
  if (!StreamPool::of(core).is_completed(point)) return false;
  core.backend().host_knows(point);
  return true;
}

void Event::wait() const {
  Core& core = Access::open_core_of(device_, "Event::wait");
  StreamPool::of(core).wait(EventPool::of(core).slot(slot_).point(), std::nullopt, "Event::wait");
}

void Event::wait(std::chrono::nanoseconds limit) const {
  const sync::Deadline deadline = sync::deadline_after(limit);
  Core& core = Access::open_core_of(device_, "Event::wait");
  StreamPool::of(core).wait(EventPool::of(core).slot(slot_).point(), deadline, "Event::wait");
}

void* Event::native() const {
  Core& core = Access::open_core_of(device_, "Event::native");
  return EventPool::of(core).native(slot_, "Event::native");
}

std::uint64_t Event::generation() const {
  Core& core = Access::open_core_of(device_, "Event::generation");
  return EventPool::of(core).slot(slot_).stamp().records;
}

std::chrono::nanoseconds Event::elapsed_since(const Event& earlier) const {
  Core& core = Access::open_core_of(device_, "Event::elapsed_since");
  check_same_device(earlier.device_, device_, "Event::elapsed_since");
  const EventPool& events = EventPool::of(core);
  for (const std::uint32_t slot : {earlier.slot_, slot_})
    StreamPool::of(core).refuse_captured(events.slot(slot).point(), "Event::elapsed_since");
  const EventSlot::Stamp from = events.slot(earlier.slot_).stamp();
  const EventSlot::Stamp to = events.slot(slot_).stamp();
  if (from.records == 0 || to.records == 0) {
    throw_rule("event-not-recorded", "a time lies between two events that were recorded; record both",
               core.error_context("Event::elapsed_since"));
  }
  if (!from.reached || !to.reached) {
    throw_rule("event-not-done", "the work before one of the events is not done; wait for both events",
               core.error_context("Event::elapsed_since"));
  }
  return to.when - from.when;
}

}  // namespace millrace
