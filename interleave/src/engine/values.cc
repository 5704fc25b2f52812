// What read-modify-writes make of values.
#include <bit>
#include <cstring>

#include "engine/explorer.h"

namespace interleave {

std::uint64_t detail::modify_value(Modify how, std::uint64_t old) noexcept {
  const auto floating = [&](auto zero, int sign) {
    auto value = zero, operand = zero;
    std::memcpy(&value, &old, sizeof(zero));
    std::memcpy(&operand, &how.operand, sizeof(zero));
    value += sign < 0 ? -operand : operand;
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(zero));
    return bits;
  };
  std::uint64_t value = how.operand;
  switch (how.what) {
    case Rmw::exchange: break;
    case Rmw::add: value = old + how.operand; break;
    case Rmw::subtract: value = old - how.operand; break;
    case Rmw::bit_and: value = old & how.operand; break;
    case Rmw::bit_or: value = old | how.operand; break;
    case Rmw::bit_xor: value = old ^ how.operand; break;
    case Rmw::add_float: return floating(0.0F, 1);
    case Rmw::add_double: return floating(0.0, 1);
    case Rmw::sub_float: return floating(0.0F, -1);
    case Rmw::sub_double: return floating(0.0, -1);
  }
  return how.bytes >= 8 ? value : value & ((std::uint64_t{1} << (8 * how.bytes)) - 1);
}

std::uint64_t next_value(const Read& read, std::uint64_t old, unsigned choice) noexcept {
  const std::uint64_t waiting = old & kWaiting;
  switch (read.access) {
    case Access::acquire:
    case Access::try_acquire: return old - 1;
    case Access::once:
    case Access::lock:
    case Access::try_lock: return 1;
    case Access::wake:
    case Access::wake_or_leave: return old & ~(read.argument | read.argument >> kWokenShift);
    case Access::notify_one: {
      const std::uint64_t one = std::uint64_t{1} << choice;
      return (old & ~one) | one << kWokenShift;
    }
    case Access::notify_all: return (old & ~kWaiting) | waiting << kWokenShift;
    default: return detail::modify_value(read.how, old);
  }
}

}  // namespace interleave
