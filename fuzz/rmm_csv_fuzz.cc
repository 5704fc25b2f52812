// libFuzzer target: any bytes either are refused with FileFormatError or are a log whose events name its
// threads and streams and lie in the file in their order.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "formats/file_format_error.h"
#include "formats/rmm_csv.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace::tool;
  try {
    const AllocationLog log = parse_rmm_csv({reinterpret_cast<const std::byte*>(data), size}, "fuzz.csv");
    if (log.entries == 0 || log.events.size() + log.failures > log.entries) std::abort();
    std::uint64_t number = 0, at = 0;
    for (const LogEvent& event : log.events) {
      if (event.number <= number || event.number > log.entries || event.at <= at || event.at >= size)
        std::abort();
      if (event.thread >= log.threads.size() || event.stream >= log.streams.size()) std::abort();
      if (event.address == 0 || event.bytes >= kMaxLoggedSize) std::abort();
      number = event.number;
      at = event.at;
    }
  } catch (const FileFormatError& error) {
    if (error.message().find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
