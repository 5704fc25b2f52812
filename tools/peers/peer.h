/* An allocator that `millrace bench alloc` measures beside ours, as a shared object that the program opens.
 *
 * A peer exports millrace_peer_interface and millrace_peers and needs nothing of Millrace but this file.
 * scripts/build-peers builds those of this folder; a .so of yours in the same folder is measured with them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Raised with every change of what stands here; the program refuses a peer that was built with another. */
#define MILLRACE_PEER_INTERFACE 1

#define MILLRACE_PEER_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* One allocator. Thread safety: after enter, any thread may call anything but create and destroy. */
typedef struct millrace_peer {
  const char* name;    /* as the rows have it: "torch" */
  const char* version; /* of what it calls: "2.11.0" */
  const char* device;  /* the kind of device that it serves: "cuda" or "host" */
  int growth_only;     /* not 0: measured in mode growth, and in that alone; 0: in the others */

  /* An allocator for the device of this number; null with the reason, ended by 0, where there is none. */
  void* (*create)(int device, char* reason, size_t reason_size);
  /* After everything was released and every stream closed. Gives back what it kept. */
  void (*destroy)(void* self);
  /* Once by each thread, before its other calls. */
  void (*enter)(void* self);

  void* (*open_stream)(void* self); /* null where it fails */
  void (*close_stream)(void* self, void* stream);

  void* (*allocate)(void* self, void* stream, size_t bytes); /* null where it fails */
  /* stream, bytes: those of the allocation. */
  void (*release)(void* self, void* stream, void* address, size_t bytes);

  /* Work that sets each byte, queued on a stream. */
  void (*fill)(void* self, void* stream, void* address, int value, size_t bytes);
  /* What is queued on used_on up to now uses a block of stream's: what the peer's users must do before they
   * release such a block. */
  void (*record_use)(void* self, void* stream, void* used_on, void* address);
} millrace_peer;

/* MILLRACE_PEER_INTERFACE as the peer was built with it; nothing else is called where it is another. */
MILLRACE_PEER_EXPORT uint32_t millrace_peer_interface(void);
/* The allocators of this library; null after the last. */
MILLRACE_PEER_EXPORT const millrace_peer* const* millrace_peers(void);

#ifdef __cplusplus
}
#endif
