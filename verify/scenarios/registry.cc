// The devices that are open: found, opened by name and dropped by several threads.
#include "device/registry.h"

#include <vector>

#include "device/handler_scope.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

struct NoLayer final : Layer {
  std::unique_ptr<ContextPart> make_part(Context&) override { return nullptr; }
};

std::function<void()> when_stopped;  // of the next device that is built

/// A device with nothing in it.
sync::Ref<Core> build(const std::string& name, const DeviceOptions& options) {
  auto backend = std::make_unique<TinyBackend>(1, TinyBackend::Runs::by_hand);
  backend->when_stopped(std::exchange(when_stopped, {}));
  auto core = sync::make_ref<Core>(name, options, std::move(backend));
  for (std::size_t i = 0; i < kLayerCount; ++i)
    core->install(static_cast<LayerId>(i), std::make_unique<NoLayer>());
  return core;
}

sync::Ref<Core> open() {
  return Registry::get().open("tiny", {}, &build);
}

// What is done once in a process, and room in the list, from before any run of a scenario: see
// detail::registry.
const bool prepared = [] {
  // In a run of its own, since it has a function called in forked children. Nothing is built that would be
  // kept.
  interleave::check([] {
    try {
      Registry::get().create({}, {},
                             [](const std::string&, const DeviceOptions&) -> sync::Ref<Core> { throw 1; });
    } catch (int) {
    }
  });
  std::vector<sync::Ref<Core>> cores;
  for (const char* const name : {"a", "b", "c"}) cores.push_back(Registry::get().open(name, {}, &build));
  for (const sync::Ref<Core>& core : cores) core->close(CloseMode::drain);
  return true;
}();

const Register two_open(
    "registry.two_open_one_name", "D1",
    [] {
      sync::Ref<Core> theirs;
      thread other([&] { theirs = open(); });
      const sync::Ref<Core> ours = open();
      other.join();
      INTERLEAVE_EXPECT(ours.get() == theirs.get());
      INTERLEAVE_EXPECT(Registry::get().find(ours->id()).get() == ours.get());
      sync::Ref<Core>::share(theirs.get()).release()->drop_handle();
      INTERLEAVE_EXPECT(ours->is_open());
      sync::Ref<Core>::share(ours.get()).release()->drop_handle();
      INTERLEAVE_EXPECT(!Registry::get().find(ours->id()));
    },
    with_device());

// Who opens what somebody else drops has a device that is open as long as the handle is there.
const Register open_against_drop(
    "registry.opened_against_the_last_drop", "D1 R1",
    [] {
      const sync::Ref<Core> first = open();
      thread other([&] { sync::Ref<Core>::share(first.get()).release()->drop_handle(); });
      const sync::Ref<Core> ours = open();
      other.join();
      INTERLEAVE_EXPECT(ours->is_open());
      INTERLEAVE_EXPECT((ours.get() == first.get()) == first->is_open());
      sync::Ref<Core>::share(ours.get()).release()->drop_handle();
    },
    with_device());

// A device that closes is found no more before anything of it is torn down.
const Register not_found(
    "registry.not_found_once_torn_down", "D1",
    [] {
      std::uint64_t id = 0;
      when_stopped = [&] { INTERLEAVE_EXPECT(!Registry::get().find(id)); };
      const sync::Ref<Core> core = open();
      id = core->id();
      thread asker([&] {
        const sync::Ref<Core> found = Registry::get().find(id);
        INTERLEAVE_EXPECT(!found || found.get() == core.get());
      });
      core->close(CloseMode::drain);
      asker.join();
    },
    with_device());

// Where there is no thread to close it on, it stays open and listed until somebody else closes it.
const Register dropped_without_a_thread(
    "registry.dropped_where_no_thread_is_left", "D1",
    [] {
      const sync::Ref<Core> core = open();
      interleave::fail_threads(1);
      {
        const HandlerScope in_a_handler(*core, nullptr);
        sync::Ref<Core>::share(core.get()).release()->drop_handle();
      }
      if (interleave::fail_threads(0) == 0) {
        INTERLEAVE_EXPECT(core->is_open());
        INTERLEAVE_EXPECT(Registry::get().find(core->id()).get() == core.get());
      }
      core->close(CloseMode::drain);
    },
    with_device());

// A handler drops the last handle: a thread of its own closes the device, for the handler's would wait for
// itself.
const Register dropped(
    "lifecycle.dropped_in_a_handler", "D1 H4",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      bool ran = false;
      device.streams().add_handler(
          stream, HandlerKind::completed,
          [&](const Completion&) {
            ran = true;
            sync::Ref<Core>::share(&device.core()).release()->drop_handle();
          },
          "test");
      static_cast<void>(device.streams().commit(stream, "test"));
      device.close();
      INTERLEAVE_EXPECT(ran);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
