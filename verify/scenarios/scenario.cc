#include "scenario.h"

namespace millrace::verify {

bool Expectation::met_by(const interleave::Result& result) const {
  switch (kind_) {
    case Kind::proved: return result.proved();
    case Kind::refuted: return result.verdict == verdict_;
    case Kind::bounded:
    case Kind::sampled: break;
  }
  return result.passed() && result.executions != 0;
}

std::string Expectation::text() const {
  switch (kind_) {
    case Kind::proved: break;
    case Kind::refuted: return std::string("refuted: ") + interleave::name(verdict_);
    case Kind::bounded: return "bounded: " + reason_;
    case Kind::sampled: return "sampled: " + reason_;
  }
  return "proved";
}

std::vector<Scenario>& scenarios() {
  static std::vector<Scenario> all;
  return all;
}

}  // namespace millrace::verify
