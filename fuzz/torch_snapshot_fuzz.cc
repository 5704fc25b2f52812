// libFuzzer target: any bytes, as a pickle and as JSON, either are refused with FileFormatError or are logs
// whose events name their streams and are no more than the file has room for.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "formats/file_format_error.h"
#include "formats/torch_snapshot.h"

namespace {

using namespace millrace::tool;

using Parse = std::vector<AllocationLog> (*)(std::span<const std::byte> bytes, const std::string& file);

void check(Parse parse, std::span<const std::byte> bytes) {
  try {
    std::uint64_t entries = 0;
    for (const AllocationLog& log : parse(bytes, "fuzz.pickle")) {
      if (log.entries == 0 || log.events.size() + log.failures > log.entries) std::abort();
      entries += log.entries;
      std::uint64_t number = 0;
      for (const LogEvent& event : log.events) {
        if (event.number <= number || event.number > log.entries || event.at >= bytes.size()) std::abort();
        if (event.thread >= log.threads.size() || event.stream >= log.streams.size()) std::abort();
        if (event.address == 0 || event.bytes >= kMaxLoggedSize) std::abort();
        number = event.number;
      }
    }
    if (entries > bytes.size()) std::abort();
  } catch (const FileFormatError& error) {
    if (error.message().find('\n') != std::string::npos) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  check(parse_torch_pickle, bytes);
  check(parse_torch_json, bytes);
  return 0;
}
