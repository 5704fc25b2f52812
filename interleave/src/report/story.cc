#include "report/story.h"

#include <algorithm>
#include <cstring>

namespace interleave {

std::string short_place(Where where) {
  if (where.file == nullptr || where.line == 0) return "";
  const char* slash = std::strrchr(where.file, '/');
  return std::string(slash == nullptr ? where.file : slash + 1) + ":" + std::to_string(where.line);
}

std::string format(const Story& story) {
  std::string text = std::string("interleave: ") + name(story.verdict) + "\n  " + story.message + "\n";
  if (story.where.line != 0)
    text += std::string("  at ") + story.where.file + ":" + std::to_string(story.where.line) + "\n";
  if (story.other.line != 0)
    text += std::string("  and ") + story.other.file + ":" + std::to_string(story.other.line) + "\n";
  text += "\n";

  // Threads that did nothing but start and end take no room; the place of each step stands at the right.
  constexpr std::size_t kGap = 2, kLeast = 10;
  std::vector<std::size_t> width(static_cast<std::size_t>(story.threads), 0);
  for (const Deed& deed : story.deeds) {
    std::size_t& widest = width[static_cast<std::size_t>(deed.thread)];
    widest = std::max({widest, deed.what.size() + kGap, kLeast});
  }
  std::size_t all = 0;
  std::string head = "     #  ";
  for (std::size_t t = 0; t < width.size(); ++t) {
    if (width[t] == 0) continue;
    std::string title = t == 0 ? "the body" : "thread " + std::to_string(t);
    title.resize(width[t], ' ');
    head += title;
    all += width[t];
  }
  const auto rtrim = [](std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
  };
  text += rtrim(head);
  for (const Deed& deed : story.deeds) {
    const std::string number = std::to_string(deed.step);
    std::string line = (deed.failed ? "  >" : "   ") +
                       std::string(number.size() < 3 ? 3 - number.size() : 0, ' ') + number + "  ";
    const std::size_t begin = line.size();
    for (int t = 0; t < deed.thread; ++t) line += std::string(width[static_cast<std::size_t>(t)], ' ');
    line += deed.what;
    line.resize(std::max(line.size(), begin + all), ' ');
    text += rtrim(line + short_place(deed.where));
  }
  if (!story.objects.empty()) text += "\n";
  for (const std::string& object : story.objects) text += "  " + object + "\n";
  if (!story.explanation.empty()) text += "\nWhy:\n";
  for (const std::string& reason : story.explanation) text += "  - " + reason + "\n";
  if (!story.replay.empty()) text += "\nReplay: " + story.replay + "\n";
  return text;
}

}  // namespace interleave
