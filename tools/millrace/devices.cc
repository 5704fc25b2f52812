// millrace devices: what there is to run on.
#include <string>
#include <vector>

#include <fmt/format.h>

#include <millrace/device.h>

#include "byte_size.h"
#include "command.h"
#include "devices.h"
#include "json_output.h"
#include "table.h"

namespace millrace::tool {

void print_devices() {
  Table table({{"device"}, {"description"}, {"memory", Align::right}, {"workers", Align::right}});
  for (const DeviceInfo& info : Device::available()) {
    table.add(
        {info.name, info.description, format_byte_size(info.memory_bytes), std::to_string(info.workers)});
  }
  table.print(stdout);
  for (const AbsentBackend& backend : Device::absent()) {
    fmt::print("no {} device: {}\n", backend.name, backend.reason);
  }
}

Command devices_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand("devices", "List the devices that --device takes");
  const auto json = std::make_shared<bool>(false);
  app->add_flag("--json", *json, "Print JSON instead of a table");
  return {app, [json] {
            if (!*json) {
              print_devices();
              return kDone;
            }
            nlohmann::ordered_json devices = nlohmann::ordered_json::array();
            for (const DeviceInfo& info : Device::available()) {
              devices.push_back({{"name", info.name},
                                 {"description", info.description},
                                 {"memory_bytes", info.memory_bytes},
                                 {"workers", info.workers},
                                 {"host_tasks", info.host_tasks},
                                 {"reads_host_memory", info.reads_host_memory}});
            }
            nlohmann::ordered_json absent = nlohmann::ordered_json::array();
            for (const AbsentBackend& backend : Device::absent()) {
              absent.push_back({{"name", backend.name}, {"reason", backend.reason}});
            }
            JsonOutput("-").write({{"devices", devices}, {"absent", absent}});
            return kDone;
          }};
}

}  // namespace millrace::tool
