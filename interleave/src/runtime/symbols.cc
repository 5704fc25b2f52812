#include "runtime/symbols.h"

#include <dlfcn.h>
#include <unwind.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace interleave {
namespace {

// Where::line of a place whose file is an address in code, and of one whose file is an index of `remembered`.
constexpr unsigned kAddress = ~0U;
constexpr unsigned kRemembered = ~0U - 1;

/// The return addresses of the calling thread's functions, the innermost first.
struct Frames {
  static constexpr int kMost = 24;
  int count = 0;
  const void* address[kMost];
};

std::vector<Frames>& remembered() {
  static std::vector<Frames> all;
  return all;
}

const char* keep(const std::string& text) {
  static std::set<std::string> kept;
  return kept.insert(text).first->c_str();
}

/// Where the library's sources lie, as far as it is the same however the compiler was called: with a path
/// relative to whichever folder, as ccache does, or from somewhere else.
constexpr std::string_view kSources = [] {
  std::string_view path = __FILE__;
  path.remove_suffix(std::string_view("runtime/symbols.cc").size());
  while (path.substr(0, 2) == "./" || path.substr(0, 3) == "../") path.remove_prefix(path.find('/') + 1);
  if (path.substr(0, 1) == "/") path.remove_prefix(1);
  return path;
}();

bool begins(std::string_view text, std::string_view with) noexcept {
  return text.substr(0, with.size()) == with;
}

bool in_sources(std::string_view path) noexcept {
  for (std::size_t at = path.find(kSources); at != std::string_view::npos; at = path.find(kSources, at + 1)) {
    const std::string_view rest = path.substr(at + kSources.size());
    const bool whole = at == 0 || path[at - 1] == '/';
    if (whole && (begins(rest, "runtime/") || begins(rest, "engine/") || begins(rest, "report/")))
      return true;
  }
  return false;
}

/// Headers may have been installed anywhere since the library was built; a folder called interleave is above
/// them.
bool in_headers(std::string_view path) noexcept {
  constexpr std::string_view kHeaders[] = {"atomic.h",
                                           "check.h",
                                           "clock.h",
                                           "mutex.h",
                                           "process.h",
                                           "thread.h",
                                           "semaphore.h",
                                           "var.h",
                                           "where.h",
                                           "thread_slot.h",
                                           "detail/instrumented.h",
                                           "detail/runtime.h"};
  constexpr std::string_view kFolder = "interleave/";
  const std::size_t at = path.rfind(kFolder);
  if (at == std::string_view::npos || (at != 0 && path[at - 1] != '/')) return false;
  const std::string_view name = path.substr(at + kFolder.size());
  return std::find(std::begin(kHeaders), std::end(kHeaders), name) != std::end(kHeaders);
}

bool in_library(std::string_view path) noexcept {
  const std::size_t include = path.find("/include/");  // with the machine's name between, sometimes
  const bool standard =
      include != std::string_view::npos && path.find("/c++/", include + 8) != std::string_view::npos;
  return standard || in_headers(path) || in_sources(path);
}

/// Whether the file that code was loaded from is the C or C++ library's, or the compiler's.
bool is_system_library(std::string_view path) noexcept {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  for (const std::string_view library :
       {"libc.so", "libc-", "libpthread", "ld-linux", "libm.so", "libstdc++.so", "libc++.so", "libc++abi.so",
        "libgcc_s.so", "libasan.so", "libubsan.so"}) {
    if (begins(name, library)) return true;
  }
  return false;
}

/// An address in the file it was loaded from, as addr2line takes it.
struct Symbol {
  std::string file;
  std::uintptr_t offset;
};

/// False for what is none of the test's.
bool locate(const void* address, Symbol& symbol) {
  Dl_info info{};
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return false;
  if (is_system_library(info.dli_fname)) return false;  // whose lines may be known, and are not the test's
  // The call before the address it returns to. Files that are not position independent keep their addresses.
  const auto number = reinterpret_cast<std::uintptr_t>(address) - 1;
  const auto base = reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  symbol = {info.dli_fname, base == 0x400000 ? number : number - base};
  return true;
}

/// The lines of each address, inlined calls first, that addr2line knows.
std::map<std::uintptr_t, std::vector<Where>> ask(const std::string& file,
                                                 const std::set<std::uintptr_t>& offsets) {
  std::map<std::uintptr_t, std::vector<Where>> found;
  std::string command = "addr2line -a -i -e '";
  for (const char c : file) command += c == '\'' ? std::string("'\\''") : std::string(1, c);
  command += "'";
  char number[32];
  for (const std::uintptr_t offset : offsets) {
    std::snprintf(number, sizeof(number), " 0x%zx", static_cast<std::size_t>(offset));
    command += number;
  }
  std::FILE* answer = popen((command + " 2>/dev/null").c_str(), "r");
  if (answer == nullptr) return found;
  char line[4096];
  std::vector<Where>* places = nullptr;
  while (std::fgets(line, sizeof(line), answer) != nullptr) {
    const std::string text = line;
    if (text.rfind("0x", 0) == 0) {
      places = &found[std::strtoull(line, nullptr, 16)];
      continue;
    }
    const std::size_t colon = text.rfind(':');
    if (places == nullptr || colon == std::string::npos || text[0] == '?') continue;
    const auto row = static_cast<unsigned>(std::strtoul(text.c_str() + colon + 1, nullptr, 10));
    if (row != 0) places->push_back({keep(text.substr(0, colon)), row});
  }
  pclose(answer);
  return found;
}

}  // namespace

Where remember_caller() {
  Frames frames;
  _Unwind_Backtrace(
      [](_Unwind_Context* context, void* all) -> _Unwind_Reason_Code {
        auto& into = *static_cast<Frames*>(all);
        int interrupted = 0;  // there, and not called from there
        const auto* address = reinterpret_cast<const char*>(_Unwind_GetIPInfo(context, &interrupted));
        if (interrupted != 0) ++address;
        if (address == nullptr || into.count == Frames::kMost) return _URC_END_OF_STACK;
        into.address[into.count++] = address;
        return _URC_NO_REASON;
      },
      &frames);
  remembered().push_back(frames);
  return {reinterpret_cast<const char*>(remembered().size() - 1), kRemembered};
}

void forget_remembered() noexcept {
  remembered().clear();
}

Where place_of(const void* return_address) noexcept {
  return {static_cast<const char*>(return_address), kAddress};
}

bool is_vague(Where where) noexcept {
  return where.line == 0 || where.line >= kRemembered || in_library(where.file);
}

bool is_remembered(Where where) noexcept {
  return where.line == kRemembered;
}

std::vector<Where> resolve(const std::vector<Where>& places) {
  std::vector<std::vector<Symbol>> symbols(places.size());
  std::map<std::string, std::set<std::uintptr_t>> wanted;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!is_vague(places[i])) continue;
    std::vector<const void*> addresses;
    if (places[i].line == kAddress) addresses.push_back(places[i].file);
    if (places[i].line == kRemembered) {
      const Frames& frames = remembered()[reinterpret_cast<std::uintptr_t>(places[i].file)];
      addresses.assign(frames.address, frames.address + frames.count);
    }
    for (const void* address : addresses) {
      Symbol symbol;
      if (!locate(address, symbol)) continue;
      wanted[symbol.file].insert(symbol.offset);
      symbols[i].push_back(symbol);
    }
  }
  std::map<std::string, std::map<std::uintptr_t, std::vector<Where>>> known;
  for (const auto& [file, offsets] : wanted) known[file] = ask(file, offsets);

  std::vector<Where> found = places;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!is_vague(places[i])) continue;
    if (places[i].line >= kRemembered) found[i] = {};
    for (const Symbol& symbol : symbols[i]) {
      for (const Where& place : known[symbol.file][symbol.offset]) {
        if (in_library(place.file)) continue;
        found[i] = place;
        break;
      }
      if (!is_vague(found[i])) break;
    }
  }
  return found;
}

}  // namespace interleave
