// What an arena needs of the layers around it, where there are no streams.
#pragma once

#include "memory/arena.h"

namespace millrace {

struct NoStreams final : ArenaHost {
  Timeline timelines[2];
  const Timeline& timeline(int slot) const noexcept override { return timelines[slot]; }
  bool reached(const TimelinePoint&) noexcept override { return true; }
  bool ended(const TimelinePoint&) const noexcept override { return true; }
  void hide(const Block&) noexcept override {}
};

}  // namespace millrace
