#include "core/base/log.h"

#include <algorithm>
#include <atomic>
#include <ctime>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/log_writer.h"

namespace base {
namespace {

std::atomic<int> log_fd{STDERR_FILENO};
std::atomic<LogFormat> log_format{LogFormat::kJson};
std::atomic<LogLevel> log_least{LogLevel::kInfo};

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

void append_escape(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
  }
}

bool needs_escape(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\' || c == 0x7f;
}

void append_json(std::string& out, std::string_view text) {
  std::string valid;
  if (!is_ascii(text)) {
    valid = to_utf8(text);
    text = valid;
  }
  while (!text.empty()) {
    const auto odd = std::find_if(text.begin(), text.end(), needs_escape);
    out.append(text.begin(), odd);
    if (odd == text.end()) return;
    append_escape(out, *odd);
    text.remove_prefix(static_cast<std::size_t>(odd - text.begin()) + 1);
  }
}

void append_json_value(std::string& line, const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    line += '"';
    append_json(line, *text);
    line += '"';
  } else if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
    line += std::to_string(*number);
  } else {
    line += std::get<bool>(field.value) ? "true" : "false";
  }
}

void append_text_value(std::string& line, const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    const std::string clean = printable(*text, 4096);
    const bool quoted = clean.empty() || clean.find_first_of(" \"=") != std::string::npos;
    if (quoted) line += '"';
    line += clean;
    if (quoted) line += '"';
  } else {
    append_json_value(line, field);
  }
}

}  // namespace

void log_configure(int fd, LogFormat format, LogLevel least) {
  log_fd = fd;
  log_format = format;
  log_least = least;
}

bool log_enabled(LogLevel level) { return level >= log_least.load(std::memory_order_relaxed); }

void log_write(LogLevel level, std::string_view event, LogFields fields) {
  if (!log_enabled(level)) return;
  std::string line = format_log_line(log_format, level, SystemClock().wall_ms(), event, fields);
  line += '\n';
  LogWriter::carry(log_fd, line, level >= LogLevel::kWarning);
}

std::string format_log_line(LogFormat format, LogLevel level, std::int64_t wall_ms,
                            std::string_view event, LogFields fields) {
  std::string line;
  line.reserve(512);
  if (format == LogFormat::kJson) {
    line += R"({"time":")";
    line += format_rfc3339(wall_ms);
    line += R"(","level":")";
    line += level_name(level);
    line += R"(","event":")";
    append_json(line, event);
    line += '"';
    for (const LogField& field : fields) {
      line += ",\"";
      append_json(line, field.key);
      line += "\":";
      append_json_value(line, field);
    }
    line += '}';
    return line;
  }
  line += format_rfc3339(wall_ms);
  line += ' ';
  line += level_name(level);
  line += ' ';
  line += event;
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    append_text_value(line, field);
  }
  return line;
}

std::string format_rfc3339(std::int64_t wall_ms) {
  const std::int64_t ms = (wall_ms % 1000 + 1000) % 1000;
  const auto seconds = static_cast<std::time_t>((wall_ms - ms) / 1000);
  // Of the last second that the thread has asked for: most lines come many a second.
  thread_local std::time_t known = 0;
  thread_local char text[32] = "1970-01-01T00:00:00";
  if (seconds != known) {
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    known = seconds;
  }
  std::string out;
  out.reserve(sizeof text);
  out += text;
  out += '.';
  out += static_cast<char>('0' + ms / 100);
  out += static_cast<char>('0' + ms / 10 % 10);
  out += static_cast<char>('0' + ms % 10);
  out += 'Z';
  return out;
}

std::string json_escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  append_json(out, text);
  return out;
}

}  // namespace base
