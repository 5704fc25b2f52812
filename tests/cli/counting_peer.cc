// A peer that counts what is asked of it, and says so at its end: a line of JSON for each allocator in the
// file that MILLRACE_TEST_PEER_LOG names. Four more of the same: a plain one, one that soon has no memory,
// one that can't be made, one that is another setting.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "peers/peer.h"

namespace {

constexpr const char* kCounting = "counting";
constexpr const char* kGrowing = "growing";
constexpr const char* kStingyName = "stingy";
constexpr const char* kSetting = "setting";
constexpr const char* kFaulty = "faulty";

constexpr int kStingy = 5000;  // allocations before there are no more

struct Block {
  void* stream = nullptr;
  std::size_t bytes = 0;
};

struct Counting {
  Counting(const char* its_name, int its_most, uint64_t initial_bytes)
      : name(its_name), most(its_most), peak(initial_bytes) {}
  const char* name;
  int most;       // allocations; -1: no limit
  uint64_t peak;  // bytes that were live at once, as asked for
  uint64_t bytes = 0;
  std::mutex mutex;
  std::map<void*, Block> live;
  std::set<void*> streams;
  std::set<std::thread::id> entered;
  long allocations = 0, releases = 0, uses = 0, fills = 0, faults = 0;

  void expect(bool right) { faults += right ? 0 : 1; }
  void expect_entered() { expect(entered.contains(std::this_thread::get_id())); }
};

Counting& of(void* self) {
  return *static_cast<Counting*>(self);
}

template <const char* const& Name, int Most>
void* create(int, uint64_t initial_bytes, char*, size_t) {
  return new Counting(Name, Most, initial_bytes);
}

void* create_none(int device, uint64_t, char* reason, size_t size) {
  std::snprintf(reason, size, "device %d is not to its taste", device);
  return nullptr;
}

void destroy(void* self) {
  Counting& c = of(self);
  c.expect(c.streams.empty());
  if (const char* const path = std::getenv("MILLRACE_TEST_PEER_LOG")) {
    std::FILE* const log = std::fopen(path, "a");
    if (log == nullptr) {
      std::perror(path);
      std::abort();
    }
    std::fprintf(
        log,
        R"({"name": "%s", "allocations": %ld, "releases": %ld, "live": %zu, "uses": %ld, "fills": %ld, )"
        R"("faults": %ld})"
        "\n",
        c.name, c.allocations, c.releases, c.live.size(), c.uses, c.fills, c.faults);
    std::fclose(log);
  }
  delete &c;
}

void enter(void* self) {
  const std::lock_guard lock(of(self).mutex);
  of(self).entered.insert(std::this_thread::get_id());
}

void* open_stream(void* self) {
  const std::lock_guard lock(of(self).mutex);
  of(self).expect_entered();
  return *of(self).streams.insert(std::malloc(1)).first;
}

void close_stream(void* self, void* stream) {
  const std::lock_guard lock(of(self).mutex);
  of(self).expect(of(self).streams.erase(stream) == 1);
  std::free(stream);
}

void* allocate(void* self, void* stream, size_t bytes) {
  Counting& c = of(self);
  const std::lock_guard lock(c.mutex);
  c.expect_entered();
  c.expect(c.streams.contains(stream) && bytes > 0);
  if (c.allocations == c.most) return nullptr;
  void* const address = std::malloc(16);  // the bench itself does not touch it
  c.expect(c.live.emplace(address, Block{stream, bytes}).second);
  ++c.allocations;
  c.bytes += bytes;
  c.peak = std::max(c.peak, c.bytes);
  return address;
}

void release(void* self, void* stream, void* address, size_t bytes) {
  Counting& c = of(self);
  const std::lock_guard lock(c.mutex);
  c.expect_entered();
  ++c.releases;
  const auto found = c.live.find(address);
  c.expect(found != c.live.end());
  if (found == c.live.end()) return;
  c.expect(found->second.stream == stream && found->second.bytes == bytes);
  c.live.erase(found);
  c.bytes -= bytes;
  std::free(address);
}

void fill(void* self, void* stream, void* address, int, size_t bytes) {
  Counting& c = of(self);
  const std::lock_guard lock(c.mutex);
  const auto found = c.live.find(address);
  c.expect(found != c.live.end() && found->second.stream != stream && found->second.bytes == bytes &&
           c.streams.contains(stream));
  ++c.fills;
}

void record_use(void* self, void* stream, void* used_on, void* address) {
  Counting& c = of(self);
  const std::lock_guard lock(c.mutex);
  const auto found = c.live.find(address);
  c.expect(found != c.live.end() && found->second.stream == stream && stream != used_on &&
           c.streams.contains(used_on));
  ++c.uses;
}

uint64_t peak_committed(void* self) {
  return of(self).peak;
}

const char* fault(void* self) {
  return of(self).name == kFaulty && of(self).releases > 0 ? "it lost a block" : nullptr;
}

constexpr millrace_peer peer(const char* name, millrace_peer_role role,
                             void* (*make)(int, uint64_t, char*, size_t)) {
  return {name,         "7.1",    "host",  role, make,       destroy,        enter, open_stream,
          close_stream, allocate, release, fill, record_use, peak_committed, fault};
}

constexpr millrace_peer kPeers[] = {peer(kCounting, MILLRACE_PEER_ALLOCATOR, create<kCounting, -1>),
                                    peer(kGrowing, MILLRACE_PEER_PLAIN, create<kGrowing, -1>),
                                    peer(kStingyName, MILLRACE_PEER_ALLOCATOR, create<kStingyName, kStingy>),
                                    peer("choosy", MILLRACE_PEER_ALLOCATOR, create_none),
                                    peer(kSetting, MILLRACE_PEER_SETTING, create<kSetting, -1>),
                                    peer(kFaulty, MILLRACE_PEER_SETTING, create<kFaulty, -1>)};

}  // namespace

uint32_t millrace_peer_interface(void) {
  return MILLRACE_PEER_INTERFACE;
}

const millrace_peer* const* millrace_peers(void) {
  static const millrace_peer* const all[] = {&kPeers[0], &kPeers[1], &kPeers[2], &kPeers[3],
                                             &kPeers[4], &kPeers[5], nullptr};
  return all;
}
