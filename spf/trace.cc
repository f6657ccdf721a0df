#include "spf/trace.h"

#include "core/base/bytes.h"

namespace spf {
namespace {

// The longest record that is shown whole, and all ten hosts of an mx.
constexpr std::size_t kLineOctetsMax = 2000;

}  // namespace

void Trace::note(std::string_view text) {
  if (!on() || notes_.size() > kLineOctetsMax) return;
  notes_ += text;
  notes_ += "; ";
}

void Trace::line(std::string_view what, std::string_view outcome) {
  if (!on()) return;
  std::string text(what.substr(0, kLineOctetsMax));
  text += ": ";
  text += notes_;
  text += outcome;
  notes_.clear();
  lines_->push_back(std::string(2 * level_, ' ') + base::printable(text, kLineOctetsMax));
}

}  // namespace spf
