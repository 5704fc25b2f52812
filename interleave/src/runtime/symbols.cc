#include "runtime/symbols.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

namespace interleave {
namespace {

constexpr unsigned kAddress = ~0U;  // Where::line of a place whose file is an address in code

const char* keep(const std::string& text) {
  static std::set<std::string> kept;
  return kept.insert(text).first->c_str();
}

/// What addr2line says; the innermost line that is not in the standard library's or the checker's headers.
Where ask_addr2line(const char* file, std::uintptr_t offset) {
  char command[4096];
  const int length = std::snprintf(command, sizeof(command), "addr2line -i -e '%s' 0x%zx 2>/dev/null", file, offset);
  if (length < 0 || length >= static_cast<int>(sizeof(command))) return {};
  std::FILE* answer = popen(command, "r");
  if (answer == nullptr) return {};
  Where found;
  char line[4096];
  while (std::fgets(line, sizeof(line), answer) != nullptr) {
    const std::string text = line;
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos || text[0] == '?') continue;
    const unsigned number = static_cast<unsigned>(std::strtoul(text.c_str() + colon + 1, nullptr, 10));
    const std::string name = text.substr(0, colon);
    const bool library = name.find("/include/c++/") != std::string::npos || name.find("/include/interleave/") != std::string::npos;
    if (found.line == 0 || !library) found = {keep(name), number};
    if (!library) break;
  }
  pclose(answer);
  return found;
}

}  // namespace

Where place_of(const void* return_address) noexcept {
  return {static_cast<const char*>(return_address), kAddress};
}

Where resolved(Where where) {
  if (where.line != kAddress) return where;
  const auto address = reinterpret_cast<std::uintptr_t>(where.file);
  Dl_info info{};
  if (dladdr(where.file, &info) == 0 || info.dli_fname == nullptr) return {};
  // The call before the address it returns to.
  const Where found = ask_addr2line(info.dli_fname, address - 1 - reinterpret_cast<std::uintptr_t>(info.dli_fbase));
  if (found.line != 0) return found;
  return {keep(info.dli_sname != nullptr ? info.dli_sname : info.dli_fname), 0};
}

}  // namespace interleave
