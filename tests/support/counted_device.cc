#include "support/counted_device.h"

#include <utility>

#include "api/access.h"
#include "api/open.h"
#include "backends/cuda/backend.h"
#include "backends/host/backend.h"
#include "device/registry.h"

namespace millrace::test {
namespace {

/// How it reaches build, which is a plain function.
std::shared_ptr<MemoryLedger>& ledger_of_next_device() {
  static thread_local std::shared_ptr<MemoryLedger> ledger;
  return ledger;
}

sync::Ref<Core> build(const std::string& name, const DeviceOptions& options) {
  std::unique_ptr<Backend> backend =
      name.starts_with("cuda") ? cuda::make_backend(name, options) : host::make_host_backend(0, options);
  return build_device(name, options,
                      std::make_unique<CountedBackend>(std::move(backend), ledger_of_next_device()));
}

}  // namespace

Device create_counted_device(const std::string& name, const DeviceOptions& options,
                             std::shared_ptr<MemoryLedger> ledger) {
  ledger_of_next_device() = std::move(ledger);
  const sync::Ref<Core> core = Registry::get().create(name, options, &build);
  core->add_ref();  // the handle's own
  return detail::Access::make_device(core.get());
}

}  // namespace millrace::test
