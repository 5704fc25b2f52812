#include "formats/allocation_log.h"

#include <string_view>

#include "formats/file_format_error.h"
#include "formats/mapped_file.h"
#include "formats/pickle.h"
#include "formats/rmm_csv.h"
#include "formats/torch_snapshot.h"

namespace millrace::tool {

std::vector<AllocationLog> parse_allocation_logs(std::span<const std::byte> bytes, const std::string& file) {
  if (is_pickle(bytes)) return parse_torch_pickle(bytes, file);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') return parse_torch_json(bytes, file);
  if (text.starts_with(kRmmColumns.substr(0, kRmmColumns.find(',')))) return {parse_rmm_csv(bytes, file)};
  throw FileFormatError(file, 0, "an RMM log (a CSV file), or a PyTorch memory snapshot (a pickle or JSON)",
                        text.empty() ? "an empty file" : "\"" + printable(text.substr(0, 40)) + "\"");
}

std::vector<AllocationLog> read_allocation_logs(const std::string& path) {
  const MappedFile file(path);
  return parse_allocation_logs(file.bytes(), path);
}

}  // namespace millrace::tool
