// An SMTP reply (RFC 5321 4.2) with its enhanced status code (RFC 2034, RFC 3463).
#pragma once

#include <string>
#include <string_view>

namespace smtp {

struct Reply {
  int code = 0;          // 250
  std::string enhanced;  // "2.1.0"; "" where RFC 2034 allows none (greeting, EHLO, 354, 3yz)
  std::string text;      // lines separated by '\n', at least one; no CR

  [[nodiscard]] bool positive() const { return code >= 200 && code < 300; }
  [[nodiscard]] bool temporary() const { return code >= 400 && code < 500; }
  [[nodiscard]] bool permanent() const { return code >= 500; }
  // The bytes on the wire: "250-2.1.0 first\r\n250 2.1.0 last\r\n".
  [[nodiscard]] std::string wire() const;
  void append_wire(std::string& to) const;
  // One line for logs and records: "250 2.1.0 first last".
  [[nodiscard]] std::string str() const;
};

}  // namespace smtp
