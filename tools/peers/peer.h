/* An allocator that `millrace bench alloc` and `millrace replay` measure beside ours, as a shared object that
 * the program opens.
 *
 * A peer exports millrace_peer_interface and millrace_peers and needs nothing of Millrace but this file.
 * scripts/build-peers builds those of this folder; a .so of yours in the same folder is measured with them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Raised with every change of what stands here; the program refuses a peer that was built with another. */
#define MILLRACE_PEER_INTERFACE 2

#define MILLRACE_PEER_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* What an allocator takes part in. */
typedef enum millrace_peer_role {
  MILLRACE_PEER_ALLOCATOR = 0, /* everything but mode growth */
  /* It keeps nothing, and is the floor of what costs memory and the ceiling of what costs time: modes growth,
   * random and multistream, and replay. */
  MILLRACE_PEER_PLAIN = 1,
  /* Another setting of one that takes part in everything, where the process can have one of them at a time:
   * what is measured with nobody else's memory there, mode random and replay. */
  MILLRACE_PEER_SETTING = 2,
} millrace_peer_role;

/* One allocator. Thread safety: after enter, any thread may call anything but create and destroy. */
typedef struct millrace_peer {
  const char* name;    /* as the rows have it: "torch" */
  const char* version; /* of what it calls: "2.11.0" */
  const char* device;  /* the kind of device that it serves: "cuda" or "host" */
  millrace_peer_role role;

  /* An allocator for the device of this number; null with the reason, ended by 0, where there is none.
   * initial_bytes: what one that is given memory at its start takes then, less if the device has less than
   * twice that; 0: as little as it can. */
  void* (*create)(int device, uint64_t initial_bytes, char* reason, size_t reason_size);
  /* After everything was released and every stream closed. Gives back what it kept. */
  void (*destroy)(void* self);
  /* Once by each thread, before its other calls. */
  void (*enter)(void* self);

  /* On cuda a stream of the driver, on which the program may launch kernels of its own; null where it fails.
   */
  void* (*open_stream)(void* self);
  void (*close_stream)(void* self, void* stream);

  void* (*allocate)(void* self, void* stream, size_t bytes); /* null where it fails */
  /* bytes: those of the allocation. stream: the same, but in a replay of a log that frees on another one. */
  void (*release)(void* self, void* stream, void* address, size_t bytes);

  /* Work that sets each byte, queued on a stream. */
  void (*fill)(void* self, void* stream, void* address, int value, size_t bytes);
  /* What is queued on used_on up to now uses a block of stream's: what the peer's users must do before they
   * release such a block. */
  void (*record_use)(void* self, void* stream, void* used_on, void* address);

  /* The most bytes that it had taken from the device at any time since its creation, by its own books. While
   * no other thread is in a call. */
  uint64_t (*peak_committed)(void* self);

  /* What went wrong in a call that has no other way to say so: what it measured since is worth nothing. Null:
   * nothing did. */
  const char* (*fault)(void* self);
} millrace_peer;

/* MILLRACE_PEER_INTERFACE as the peer was built with it; nothing else is called where it is another. */
MILLRACE_PEER_EXPORT uint32_t millrace_peer_interface(void);
/* The allocators of this library; null after the last. */
MILLRACE_PEER_EXPORT const millrace_peer* const* millrace_peers(void);

#ifdef __cplusplus
}
#endif
