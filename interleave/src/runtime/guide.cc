#include "runtime/guide.h"

#include <bit>
#include <charconv>
#include <stdexcept>

namespace interleave {
namespace {

std::string to_string(const Step& step) {
  std::string text = std::to_string(step.thread);
  if (!step.given) return text;
  text += ":" + (step.other < 0 ? std::string("i") : std::to_string(step.other));
  if (step.choice != 0) text += "/" + std::to_string(step.choice);
  if (step.success) text += "s";
  return text;
}

/// Thread safety: one thread.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  Script script() {
    Script script;
    while (at_ < text_.size() && text_[at_] != '!') {
      if (!script.steps.empty()) need('.');
      const Step step = this->step();
      int count = 1;
      if (take('*')) count = number(kMostEvents);
      script.steps.insert(script.steps.end(), static_cast<std::size_t>(count), step);
    }
    if (take('!')) script.last = number(kMaxThreads - 1);
    if (at_ != text_.size()) fail();
    return script;
  }

 private:
  [[noreturn]] void fail() const {
    throw std::invalid_argument("'" + text_ + "' is no replay string: see character " +
                                std::to_string(at_ + 1));
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void need(char c) {
    if (!take(c)) fail();
  }
  int number(int limit) {
    int value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc() || value < 0 || value > limit) fail();
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }
  Step step() {
    Step step;
    step.thread = number(kMaxThreads - 1);
    if (!take(':')) return step;
    step.given = true;
    if (!take('i')) step.other = number(kMostEvents - 1);
    if (take('/')) step.choice = number(64);
    step.success = take('s');
    return step;
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace

std::string to_string(const Script& script) {
  std::string text;
  for (std::size_t i = 0; i < script.steps.size();) {
    const std::string step = to_string(script.steps[i]);
    std::size_t same = i + 1;
    while (same < script.steps.size() && to_string(script.steps[same]) == step) ++same;
    text += (i == 0 ? "" : ".") + step;
    if (same - i > 1) text += "*" + std::to_string(same - i);
    i = same;
  }
  if (script.last >= 0) text += "!" + std::to_string(script.last);
  return text;
}

Script parse_script(const std::string& text) {
  return Reader(text).script();
}

int Guide::next_thread(std::uint32_t ready, int current) {
  const auto is_ready = [&](int thread) { return (ready >> thread & 1) != 0; };
  if (next_ < script_.steps.size()) {
    if (is_ready(script_.steps[next_].thread)) return script_.steps[next_].thread;
    diverged_ = true;
  } else if (script_.last >= 0 && is_ready(script_.last)) {
    return script_.last;
  }
  return is_ready(current) ? current : std::countr_zero(ready);
}

void Guide::added(int event) {
  if (next_ < script_.steps.size() && script_.steps[next_].given && !asked_) diverged_ = true;
  asked_ = false;
  next_ = static_cast<std::size_t>(event) + 1;
}

int Guide::choose(const Alternative* alternatives, int count, Adding what) {
  asked_ = true;
  if (next_ >= script_.steps.size() || !script_.steps[next_].given) return 0;
  const Step& step = script_.steps[next_];
  const std::optional<int> other = what == Adding::choice ? 0 : place_of_(step.other);
  const int place = other.value_or(0) + (what == Adding::store ? 1 : 0);
  for (int i = 0; i < count && other; ++i) {
    const Alternative& alternative = alternatives[i];
    const bool same = what == Adding::choice
                          ? alternative.choice == step.choice
                          : alternative.place == place && alternative.success == step.success &&
                                (what == Adding::store || alternative.choice == step.choice);
    if (same) return i;
  }
  diverged_ = true;
  return 0;
}

}  // namespace interleave
