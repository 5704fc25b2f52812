#include "packed_pages.h"

#include <algorithm>

#include "mapped_pages.h"

namespace millrace::tool {
namespace {

constexpr std::uint64_t kWindow = std::uint64_t{32} << 20;

}  // namespace

void PackedPages::advance(std::uint64_t unpacked) {
  const Deflated& packed = *tensor_.deflated;
  // Where unpacking is, if the range is packed evenly: it need not be, and then the window is early or late.
  const double share = static_cast<double>(unpacked) / static_cast<double>(tensor_.bytes);
  const auto at = static_cast<std::uint64_t>(share * static_cast<double>(packed.bytes));
  const std::uint64_t end = std::min(packed.bytes, std::min(at, packed.bytes) + kWindow);
  if (end > asked_) read_ahead(file_, packed.offset + asked_, end - asked_);
  asked_ = std::max(asked_, end);
  // All of it, since where unpacking is, is not known: what is needed again comes back from the page cache.
  drop(file_.bytes(), packed.offset, packed.bytes);
}

}  // namespace millrace::tool
