#include "bench/peer_library.h"

#include <algorithm>
#include <array>
#include <system_error>

#include <fmt/format.h>

#include "formats/file_format_error.h"
#include "peers/open.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;

/// What scripts/build-peers makes.
struct Known {
  const char* file;
  const char* kind;
};
constexpr std::array<Known, 4> kKnown{
    {{"cub.so", "cuda"}, {"cuda_malloc_async.so", "cuda"}, {"rmm.so", "cuda"}, {"torch.so", "cuda"}}};

const Known* known(const fs::path& file) {
  const auto* const found =
      std::ranges::find_if(kKnown, [&](const Known& k) { return file.filename() == k.file; });
  return found == kKnown.end() ? nullptr : &*found;
}

std::vector<fs::path> libraries_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;  // a folder that is not there has none
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    if (at->path().extension() == ".so") files.push_back(at->path());
  }
  std::ranges::sort(files);
  return files;
}

/// Adds a library's peers of a kind; returns why it has none to give, or nothing.
std::string open_library(const fs::path& file, const std::string& kind,
                         std::vector<const millrace_peer*>& found) {
  std::string why;
  const millrace_peer* const* at = peers::open_library(file, why);
  for (; at != nullptr && *at != nullptr; ++at) {
    if (kind == (*at)->device) found.push_back(*at);
  }
  return why;
}

}  // namespace

fs::path peer_folder(const std::string& option) {
  std::error_code error;
  if (option.empty()) {
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    return error ? fs::path("peers") : program.parent_path() / "peers";
  }
  if (!fs::is_directory(option, error)) {
    throw UsageError(fmt::format("--peers: expected a folder of peers, found {}", printable(option)));
  }
  return option;
}

DeviceName split_device_name(const std::string& name) {
  const std::size_t colon = name.find(':');
  return {name.substr(0, colon), std::stoi(name.substr(colon + 1))};
}

PeerCatalog open_peers(const fs::path& folder, const std::string& kind) {
  PeerCatalog catalog;
  const std::vector<fs::path> files = libraries_in(folder);
  for (const fs::path& file : files) {
    const Known* const ours = known(file);
    if (ours != nullptr && ours->kind != kind) continue;
    const std::string fault = open_library(file, kind, catalog.peers);
    if (!fault.empty()) catalog.absent.push_back({file.filename(), "absent: " + fault});
  }
  for (const Known& ours : kKnown) {
    const auto is_ours = [&](const fs::path& file) { return file.filename() == ours.file; };
    if (ours.kind != kind || std::ranges::any_of(files, is_ours)) continue;
    catalog.absent.push_back(
        {ours.file, fmt::format("absent: not in {}; scripts/build-peers builds it there, or says why not",
                                folder.string())});
  }
  return catalog;
}

PeerAllocator::PeerAllocator(const millrace_peer& peer, int device, std::uint64_t initial_bytes)
    : peer_(peer) {
  std::array<char, 512> reason{};
  self_ = peer.create(device, initial_bytes, reason.data(), reason.size());
  if (self_ == nullptr) throw PeerFailure(reason.data());
}

PeerAllocator::~PeerAllocator() {
  enter();
  for (void* const stream : streams_) peer_.close_stream(self_, stream);
  peer_.destroy(self_);
}

void PeerAllocator::open_streams(int count) {
  enter();
  while (streams_.size() < static_cast<std::size_t>(count)) {
    void* const stream = peer_.open_stream(self_);
    if (stream == nullptr) throw PeerFailure(fmt::format("could not open stream {}", streams_.size() + 1));
    streams_.push_back(stream);
  }
}

void PeerAllocator::refuse(std::size_t bytes) const {
  throw PeerFailure(fmt::format("could not allocate {} bytes", bytes));
}

}  // namespace millrace::tool
