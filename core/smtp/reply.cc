#include "core/smtp/reply.h"

namespace smtp {
namespace {

constexpr std::size_t kAroundText = 8;  // the code, blanks, CRLF

}  // namespace

std::string Reply::wire() const {
  std::string wire;
  append_wire(wire);
  return wire;
}

void Reply::append_wire(std::string& wire) const {
  wire.reserve(wire.size() + kAroundText + enhanced.size() + text.size());
  std::size_t start = 0;
  while (true) {
    const std::size_t end = text.find('\n', start);
    const bool last = end == std::string::npos;
    wire += std::to_string(code);
    wire += last ? ' ' : '-';
    if (!enhanced.empty()) {
      wire += enhanced;
      wire += ' ';
    }
    wire.append(text, start, last ? std::string::npos : end - start);
    wire += "\r\n";
    if (last) return;
    start = end + 1;
  }
}

std::string Reply::str() const {
  std::string line;
  line.reserve(kAroundText + enhanced.size() + text.size());
  line += std::to_string(code);
  if (!enhanced.empty()) line.append(" ").append(enhanced);
  if (text.empty()) return line;
  line += ' ';
  for (const char c : text) line += c == '\n' ? ' ' : c;
  return line;
}

}  // namespace smtp
