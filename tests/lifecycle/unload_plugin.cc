// Uses the library from the outside: the body of a plugin that unload.cc loads and unloads.
#include <memory>

#include "lifecycle/every_operation.h"

namespace {

using namespace millrace;

struct Plugin {
  Device device = test::busy_device();
  Buffer buffer = device.buffer(10'000);
  StreamLease lease = device.lease();
};
std::unique_ptr<Plugin> plugin;  // destroyed by dlclose

}  // namespace

extern "C" __attribute__((visibility("default"))) void plugin_start() {
  plugin = std::make_unique<Plugin>();
}

extern "C" __attribute__((visibility("default"))) void plugin_work() {
  for (const test::Operation operation : test::kEveryOperation) operation(plugin->device);
}
