#include "core/smtp/reply.h"

namespace smtp {

std::string Reply::wire() const {
  std::string wire;
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
    if (last) return wire;
    start = end + 1;
  }
}

std::string Reply::str() const {
  std::string line = std::to_string(code);
  if (!enhanced.empty()) line += ' ' + enhanced;
  if (text.empty()) return line;
  line += ' ';
  for (const char c : text) line += c == '\n' ? ' ' : c;
  return line;
}

}  // namespace smtp
