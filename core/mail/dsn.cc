#include "core/mail/dsn.h"

#include <algorithm>
#include <array>

#include "core/base/bytes.h"

namespace mail {
namespace {

constexpr std::size_t kFieldsMax = 2000;
constexpr std::size_t kRecipientsMax = 1000;
constexpr std::size_t kPartsMax = 20;
constexpr std::size_t kValueMax = 1000;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::string& out, std::uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

// RFC 6533 3: "\x{HEX}" for a character. What is no such thing stays as it is.
std::string decode_utf8_address(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t close = text.substr(i, 3) == "\\x{" ? text.find('}', i) : std::string::npos;
    std::uint32_t point = 0;
    bool good = close != std::string::npos && close - i >= 4 && close - i <= 9;
    for (std::size_t at = i + 3; good && at < close; ++at) {
      const int digit = hex_digit(text[at]);
      good = digit >= 0;
      point = point * 16 + static_cast<std::uint32_t>(digit);
    }
    good = good && point >= 0x20 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    if (good) {
      append_utf8(out, point);
      i = close;
    } else {
      out += text[i];
    }
  }
  return out;
}

// RFC 5322 3.2.2: what stands in parentheses outside of quoted strings.
std::string without_comments(std::string_view field) {
  std::string out;
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < field.size(); ++i) {
    const char c = field[i];
    const bool pair = c == '\\' && i + 1 < field.size() && (quoted || depth > 0);
    if (!quoted && c == '(') ++depth;
    if (depth == 0) out += c;
    if (pair) {
      ++i;
      if (depth == 0) out += field[i];
    } else if (c == '"' && depth == 0) {
      quoted = !quoted;
    } else if (!quoted && c == ')' && depth > 0) {
      --depth;
    }
  }
  return out;
}

// The value of a parameter of a structured field (RFC 2045 5.1); "" where absent.
std::string parameter(std::string_view whole, std::string_view wanted) {
  const std::string plain = without_comments(whole);
  const std::string_view field = plain;
  std::size_t at = field.find(';');
  while (at < field.size()) {
    const std::size_t equals = field.find('=', ++at);
    if (equals == std::string_view::npos) return {};
    const std::string_view name = base::trim(field.substr(at, equals - at));
    std::string_view rest = base::trim(field.substr(equals + 1));
    std::string value;
    if (rest.starts_with('"')) {
      std::size_t i = 1;
      for (; i < rest.size() && rest[i] != '"'; ++i) {
        if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
        value += rest[i];
      }
      rest.remove_prefix(std::min(i + 1, rest.size()));
    } else {
      const std::size_t end = std::min(rest.find_first_of("; \t("), rest.size());
      value = rest.substr(0, end);
      rest.remove_prefix(end);
    }
    if (base::iequals(name, wanted)) return value;
    at = static_cast<std::size_t>(rest.data() - field.data());
    at = std::min(field.find(';', at), field.size());
  }
  return {};
}

std::string type_of(std::string_view content_type) {
  return base::ascii_lower(base::trim(content_type.substr(0, content_type.find_first_of("; \t("))));
}

// Parts as they stand between delimiter lines (RFC 2046 5.1.1).
std::vector<std::string_view> parts_of(std::string_view body, const std::string& boundary) {
  std::vector<std::string_view> parts;
  const std::string delimiter = "--" + boundary;
  std::optional<std::size_t> begin;
  for (std::size_t at = 0; at < body.size() && parts.size() < kPartsMax;) {
    const std::size_t end = std::min(body.find('\n', at), body.size() - 1) + 1;
    const std::string_view line = base::trim(body.substr(at, end - at));
    const bool last = line == delimiter + "--";
    if (last || line == delimiter) {
      if (begin) {
        // The line break in front belongs to the delimiter.
        const std::size_t size = at - *begin;
        parts.push_back(body.substr(*begin, size >= 2 ? size - 2 : 0));
      }
      if (last) return parts;
      begin = end;
    }
    at = end;
  }
  if (begin && parts.size() < kPartsMax) parts.push_back(body.substr(*begin));  // cut off
  return parts;
}

struct Part {
  std::string type, encoding;
  std::string_view content;
};
std::optional<Part> part_of(std::string_view bytes) {
  const std::size_t end = bytes.starts_with("\r\n") ? 0 : header_section_end(bytes);
  if (end == std::string_view::npos) return std::nullopt;
  const auto headers = Headers::scan(bytes.substr(0, end), kFieldsMax);
  if (!headers) return std::nullopt;
  Part part;
  part.type = type_of(headers->value("Content-Type").value_or("text/plain"));
  part.encoding = base::ascii_lower(headers->value("Content-Transfer-Encoding").value_or("7bit"));
  part.content = bytes.substr(std::min(end + 2, bytes.size()));
  return part;
}

// "smtp; 550 no" or "dns; mx.example": what stands behind the type.
std::string behind_type(const std::string& value) {
  const std::size_t semicolon = value.find(';');
  const std::string_view text = base::trim(
      std::string_view(value).substr(semicolon == std::string::npos ? 0 : semicolon + 1));
  return base::to_utf8(base::printable(text, kValueMax));
}

// In a report an address is not in xtext any more (RFC 3464 2.3.1).
std::string address_in(const std::string& value) {
  const bool utf8 = base::istarts_with(base::trim(value), "utf-8");
  const std::string address = behind_type(value);
  return utf8 ? base::to_utf8(base::printable(decode_utf8_address(address), kValueMax)) : address;
}

// Groups of fields, an empty line between them: one of the message, then one a recipient.
std::vector<Headers> groups_of(std::string_view status) {
  std::vector<Headers> groups;
  while (!status.empty() && groups.size() <= kRecipientsMax) {
    if (status.starts_with("\r\n")) {
      status.remove_prefix(2);
      continue;
    }
    std::size_t end = status.find("\r\n\r\n");
    end = end == std::string_view::npos ? status.size() : end + 2;
    auto group = Headers::scan(status.substr(0, end), kFieldsMax);
    if (group) groups.push_back(group.take());
    status.remove_prefix(end);
  }
  return groups;
}

bool known_action(const std::string& action) {
  constexpr std::array<std::string_view, 5> kActions = {"failed", "delayed", "delivered", "relayed",
                                                        "expanded"};
  return std::find(kActions.begin(), kActions.end(), action) != kActions.end();
}

void read_status(std::string_view status, DeliveryReport& report) {
  for (const Headers& group : groups_of(status)) {
    const auto value = [&](std::string_view name) { return group.value(name).value_or(""); };
    if (const auto mta = group.value("Reporting-MTA"); mta && report.reporting_mta.empty()) {
      report.reporting_mta = behind_type(*mta);
      report.envelope_id = base::printable(value("Original-Envelope-Id"), kValueMax);
    }
    DeliveryReport::Recipient one;
    one.final_address = address_in(value("Final-Recipient"));
    one.original = address_in(value("Original-Recipient"));
    // A comment may follow both (RFC 3464 2.3.3, 2.3.4).
    one.action = type_of(value("Action"));
    one.status = base::printable(type_of(value("Status")), 20);
    one.diagnostic = behind_type(value("Diagnostic-Code"));
    one.remote = behind_type(value("Remote-MTA"));
    if (one.final_address.empty() || !known_action(one.action)) continue;
    report.recipients.push_back(std::move(one));
  }
}

}  // namespace

std::optional<std::string> decode_xtext(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '+') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::optional<TypedAddress> decode_orcpt(std::string_view orcpt) {
  const std::size_t semicolon = orcpt.find(';');
  if (semicolon == std::string_view::npos) return std::nullopt;
  TypedAddress out;
  out.type = base::ascii_lower(base::trim(orcpt.substr(0, semicolon)));
  const std::string_view text = base::trim(orcpt.substr(semicolon + 1));
  const std::string plain = decode_xtext(text).value_or(std::string(text));
  out.address = out.type == "utf-8" ? decode_utf8_address(plain) : plain;
  if (out.type.empty() || out.address.empty()) return std::nullopt;
  return out;
}

bool is_delivery_report(const Headers& headers) {
  const std::string type = headers.value("Content-Type").value_or("");
  return type_of(type) == "multipart/report" &&
         base::iequals(parameter(type, "report-type"), "delivery-status");
}

std::optional<DeliveryReport> read_delivery_report(const Headers& headers, std::string_view body) {
  if (!is_delivery_report(headers)) return std::nullopt;
  const std::string boundary = parameter(headers.value("Content-Type").value_or(""), "boundary");
  if (boundary.empty() || boundary.size() > 70) return std::nullopt;
  DeliveryReport report;
  for (const std::string_view bytes : parts_of(body, boundary)) {
    const auto part = part_of(bytes);
    // RFC 3464 2.1 and 6522 3: 7bit; nothing of these needs an encoding.
    if (!part || (part->encoding != "7bit" && part->encoding != "8bit")) continue;
    const bool status =
        part->type == "message/delivery-status" || part->type == "message/global-delivery-status";
    const bool message = part->type == "message/rfc822" || part->type == "message/global";
    const bool only_headers =
        part->type == "text/rfc822-headers" || part->type == "message/global-headers";
    if (status && report.recipients.empty()) read_status(part->content, report);
    if ((message || only_headers) && report.returned_headers.empty()) {
      const std::size_t end = header_section_end(part->content);
      report.returned_headers =
          part->content.substr(0, end == std::string::npos ? part->content.size() : end);
      if (!report.returned_headers.ends_with("\r\n")) report.returned_headers += "\r\n";
    }
  }
  if (report.recipients.empty()) return std::nullopt;
  return report;
}

}  // namespace mail
