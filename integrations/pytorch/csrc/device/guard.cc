// What torch's guards, streams and events do on our devices.
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <string>

#include "device/allocator.h"
#include "device/devices.h"
#include "device/streams.h"
#include "device/types.h"
#include "ops/call.h"
#include "python/without_lock.h"

namespace millrace_torch {
namespace {

const std::string kWait = "wait for an event";

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kMillrace; }

  c10::Device exchangeDevice(c10::Device device) const override {
    TORCH_INTERNAL_ASSERT(device.type() == kMillrace);
    return {kMillrace, exchange_device(device.index())};
  }
  c10::Device getDevice() const override { return {kMillrace, current_device()}; }
  void setDevice(c10::Device device) const override { (void)exchangeDevice(device); }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    try {
      (void)exchange_device(device.index());
    } catch (const std::exception&) {
      // It was one that there is when the guard was made.
    }
  }
  c10::DeviceIndex deviceCount() const noexcept override {
    return static_cast<c10::DeviceIndex>(device_count());
  }
  c10::DeviceCapability getDeviceCapability(c10::Device) const override {
    c10::DeviceCapability capability;
    auto& types = capability.capability_data.supported_scalar_types;
#define MILLRACE_SET(_, name) types.has_##name = has_kernels(c10::ScalarType::name);
    AT_FORALL_SCALAR_TYPES_WITH_COMPLEX_AND_QINTS(MILLRACE_SET);
#undef MILLRACE_SET
    return capability;
  }
  void synchronizeDevice(const c10::DeviceIndex index) const override {
    synchronize(index);
  }

  c10::Stream getStream(c10::Device device) const override {
    return current_stream(device.index()).for_torch();
  }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return default_stream(device.index())->for_torch();
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool high_priority) const override {
    return pooled_stream(device.index(), high_priority ? -1 : 0)->for_torch();
  }
  c10::Stream getNewStream(c10::Device device, int priority) const override {
    return pooled_stream(device.index(), priority)->for_torch();
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return exchange_stream(stream_of(stream));
  }
  bool queryStream(const c10::Stream& stream) const override {
    return stream_of(stream)->is_done();
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    stream_of(stream)->wait();
  }
  void recordDataPtrOnStream(const c10::DataPtr& pointer, const c10::Stream& stream) const override {
    device_allocator().recordStream(pointer, stream);
  }

  // An event is a millrace::Event, which counts its recordings: whoever waits for one is not fooled by the
  // next.
  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex index,
              const c10::EventFlag) const override {
    TORCH_CHECK(index == -1 || index == stream.device_index(),
                "the event is of millrace:", static_cast<int>(index),
                " and was to be recorded on a stream of ", stream.device());
    const auto on = stream_of(stream);
    translated([&] {
      if (*event == nullptr)
        *event = new Recorded{device_of(stream.device_index()).event(), stream.device_index()};
      as_event(*event).record(on->get());
    });
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event == nullptr) return;
    const auto on = stream_of(stream);
    if (as_recorded(event).device != stream.device_index())
      return synchronizeEvent(event);  // nothing else can wait for it
    translated([&] { millrace::Stream(on->get()).wait_event(as_event(event)); });
    submit(*on, kWait, {}, KernelSize::few_numbers, [] {});  // a stream with nothing else to do than to wait is not done
  }
  bool queryEvent(void* event) const override {
    return event == nullptr || translated([&] { return as_event(event).query(); });
  }
  void synchronizeEvent(void* event) const override {
    if (event == nullptr) return;
    const WithoutLock free;
    translated([&] { as_event(event).wait(); });
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<Recorded*>(event);
  }
  double elapsedTime(void* first, void* second, const c10::DeviceIndex) const override {
    TORCH_CHECK(first != nullptr && second != nullptr,
                "Both events must be recorded before calculating elapsed time.");
    TORCH_CHECK(queryEvent(first) && queryEvent(second),
                "Both events must be completed before calculating elapsed time.");
    return translated([&] {
      return std::chrono::duration<double, std::milli>(as_event(second).elapsed_since(as_event(first)))
          .count();
    });
  }

 private:
  struct Recorded {
    millrace::Event event;
    c10::DeviceIndex device;
  };
  static Recorded& as_recorded(void* event) {
    return *static_cast<Recorded*>(event);
  }
  static millrace::Event& as_event(void* event) {
    return as_recorded(event).event;
  }
};

}  // namespace

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

}  // namespace millrace_torch
