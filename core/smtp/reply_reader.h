// Puts replies together out of a byte stream (RFC 5321 4.2 and 4.2.1), strictly: a peer whose
// replies are malformed cannot be told from one that is out of step. Keeps at most one reply, never
// more than its limits. Pure; owned by a client machine.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/smtp/line_reader.h"
#include "core/smtp/reply.h"

namespace smtp {

class ReplyReader {
 public:
  ReplyReader(std::size_t line_octets_max, std::size_t lines_max)
      : line_octets_max_(line_octets_max), lines_max_(lines_max) {}

  enum class State { kMore, kReply, kMalformed };
  struct Read {
    State state;
    std::size_t used;
  };
  // After kReply: take(). After kMalformed: error(), and nothing more can be read.
  Read read(std::string_view bytes);
  // Its text is valid UTF-8 without control characters; `enhanced` is still in the text.
  Reply take();
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  Read malformed(std::string error, std::size_t used);

  std::size_t line_octets_max_;
  std::size_t lines_max_;
  LineReader line_;
  Reply reply_;
  std::size_t lines_ = 0;
  std::string error_;
};

// Moves the enhanced status code (RFC 2034 section 4) out of the text of a reply, from every line
// that repeats it. One whose class is not that of the reply code is no code but text.
void take_enhanced_code(Reply& reply);

}  // namespace smtp
