// Cuts command lines out of a byte stream that arrives in any pieces. Only CRLF ends a line (RFC
// 5321 2.3.8). Keeps at most one line, never more than its limit. Pure; owned by a server machine.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace smtp {

class LineReader {
 public:
  enum class State {
    kMore,     // the line is not complete
    kLine,     // line() is it, without CRLF; it can hold any octet but LF
    kTooLong,  // it was complete, too long and thrown away; line() is its beginning
    kBareLf,   // an LF without CR: nothing behind it can be trusted to be what it looks like
  };
  struct Read {
    State state;
    std::size_t used;
  };

  // `octets_max` counts the CRLF. Starts a new line after anything but kMore.
  Read read(std::string_view input, std::size_t octets_max);
  [[nodiscard]] std::string_view line() const { return line_; }
  // Has a line been begun and not ended?
  [[nodiscard]] bool in_line() const { return !done_ && !line_.empty(); }
  // Forgets everything and overwrites it, for lines that held a password.
  void wipe();

 private:
  std::string line_;
  bool done_ = true;
  bool too_long_ = false;
  char last_ = 0;
};

}  // namespace smtp
