// A device whose every commit and decommit is counted beside it.
#pragma once

#include <millrace/device.h>

#include <memory>
#include <string>

#include "support/counting_memory.h"

namespace millrace::test {

/// host:0 or cuda:0, whole but for the books that the ledger keeps of the backend's memory.
Device create_counted_device(const std::string& name, const DeviceOptions& options,
                             std::shared_ptr<MemoryLedger> ledger);

}  // namespace millrace::test
