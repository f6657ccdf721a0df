// What happened, for people: one line a step. Costs nothing where nobody asked. One evaluation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace spf {

class Trace {
 public:
  // `lines` may be nullptr; it is emptied.
  explicit Trace(std::vector<std::string>* lines) : lines_(lines) {
    if (lines_ != nullptr) lines_->clear();
  }
  [[nodiscard]] bool on() const { return lines_ != nullptr; }

  // What DNS said, or a limit counted: stands in the next line, before its outcome.
  void note(std::string_view text);
  // One step: `what: note; note; outcome`.
  void line(std::string_view what, std::string_view outcome);
  // The lines that follow belong to a record that an include or a redirect leads to.
  void enter() { ++level_; }
  void leave() { --level_; }

 private:
  std::vector<std::string>* lines_;
  std::string notes_;
  std::size_t level_ = 0;
};

}  // namespace spf
