#include "core/smtp/reply_reader.h"

#include <utility>

#include "core/base/bytes.h"

namespace smtp {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The length of "5.7.1" at the front of `text`, 0 where there is none.
std::size_t enhanced_code_size(std::string_view text, char reply_class) {
  if (text.size() < 5 || text[0] != reply_class || text[1] != '.') return 0;
  std::size_t at = 1;
  for (int part = 0; part < 2; ++part) {
    if (at >= text.size() || text[at] != '.') return 0;
    const std::size_t start = ++at;
    while (at < text.size() && is_digit(text[at])) ++at;
    if (at == start || at - start > 3) return 0;
  }
  return at == text.size() || text[at] == ' ' ? at : 0;
}

}  // namespace

ReplyReader::Read ReplyReader::malformed(std::string error, std::size_t used) {
  error_ = std::move(error);
  return {State::kMalformed, used};
}

ReplyReader::Read ReplyReader::read(std::string_view bytes) {
  std::size_t used = 0;
  while (used < bytes.size()) {
    const LineReader::Read read = line_.read(bytes.substr(used), line_octets_max_);
    used += read.used;
    if (read.state == LineReader::State::kMore) {
      // Such a line will not become shorter.
      if (line_.line().size() >= line_octets_max_)
        return malformed(
            "a reply line is longer than " + std::to_string(line_octets_max_) + " octets", used);
      continue;
    }
    if (read.state == LineReader::State::kTooLong)
      return malformed(
          "a reply line is longer than " + std::to_string(line_octets_max_) + " octets", used);
    if (read.state == LineReader::State::kBareLf)
      return malformed("a reply line ends in LF without CR", used);

    const std::string_view line = line_.line();
    const bool coded = line.size() >= 3 && line[0] >= '2' && line[0] <= '5' && is_digit(line[1]) &&
                       is_digit(line[2]) && (line.size() == 3 || line[3] == ' ' || line[3] == '-');
    if (!coded)
      return malformed("no reply code in the line \"" + base::printable(line, 80) + "\"", used);
    const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    if (lines_ > 0 && code != reply_.code)
      return malformed("the lines of one reply have the codes " + std::to_string(reply_.code) +
                           " and " + std::to_string(code),
                       used);
    if (lines_ == lines_max_)
      return malformed("a reply has more than " + std::to_string(lines_max_) + " lines", used);
    reply_.code = code;
    if (lines_++ > 0) reply_.text += '\n';
    if (line.size() > 4) reply_.text += base::printable(line.substr(4), line_octets_max_);
    if (line.size() == 3 || line[3] == ' ') return {State::kReply, used};
  }
  return {State::kMore, used};
}

Reply ReplyReader::take() {
  lines_ = 0;
  return std::exchange(reply_, Reply{});
}

void take_enhanced_code(Reply& reply) {
  const char reply_class = static_cast<char>('0' + reply.code / 100);
  if (reply_class == '3') return;
  const std::size_t size =
      enhanced_code_size(reply.text.substr(0, reply.text.find('\n')), reply_class);
  if (size == 0) return;
  reply.enhanced = reply.text.substr(0, size);
  std::string text;
  bool first = true;
  for (std::string_view line : base::parts(reply.text, '\n')) {
    if (line.substr(0, size) == reply.enhanced && (line.size() == size || line[size] == ' '))
      line.remove_prefix(std::min(line.size(), size + 1));
    if (!std::exchange(first, false)) text += '\n';
    text += line;
  }
  reply.text = std::move(text);
}

}  // namespace smtp
