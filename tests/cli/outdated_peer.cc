// A peer that was built with another interface: nothing of it but the number may be looked at.
#include <cstdlib>

#include "peers/peer.h"

uint32_t millrace_peer_interface(void) {
  return MILLRACE_PEER_INTERFACE + 98;
}

const millrace_peer* const* millrace_peers(void) {
  std::abort();
}
