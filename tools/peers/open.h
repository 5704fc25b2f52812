// A peer's library, opened: for whoever measures peers.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <string>

#include "peer.h"

namespace millrace::peers {

/// The allocators of a library, ended by null. Null where it has none to give, and then why says so. It stays
/// open: what it is linked with may have left hooks behind.
inline const millrace_peer* const* open_library(const std::string& file, std::string& why) {
  void* const library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    why = ::dlerror();
    return nullptr;
  }
  const auto interface =
      reinterpret_cast<decltype(&millrace_peer_interface)>(::dlsym(library, "millrace_peer_interface"));
  const auto list = reinterpret_cast<decltype(&millrace_peers)>(::dlsym(library, "millrace_peers"));
  if (interface == nullptr || list == nullptr) {
    why =
        "expected a library that exports millrace_peer_interface and millrace_peers, found none of that "
        "name";
    return nullptr;
  }
  if (const std::uint32_t version = interface(); version != MILLRACE_PEER_INTERFACE) {
    why = "expected interface " + std::to_string(MILLRACE_PEER_INTERFACE) + ", found " +
          std::to_string(version) + "; build it again with scripts/build-peers";
    return nullptr;
  }
  return list();
}

}  // namespace millrace::peers
