// The log: one line an event, a JSON object for machines or text for people. Lines of several
// threads never mix. It is the only process-wide object of the program
// (docs/decisions/0002-process-wide-log.md). A line is written when the call returns; while there
// is a LogWriter (log_writer.h), only warnings and errors are. Thread-safe.
//
//   base::log_info("queued", {{"id", id.str()}, {"size", size}});
//
// The event is a short fixed text; everything that varies is a field. A line about a message
// carries its "id". Secrets are never fields.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kJson, kText };

struct LogField {
  std::string_view key;
  std::variant<std::string_view, std::int64_t, bool> value;

  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) LogField(std::string_view k, T v)
      : key(k), value(static_cast<std::int64_t>(v)) {}
};
using LogFields = std::initializer_list<LogField>;

// Before threads start. `fd` stays the caller's.
void log_configure(int fd, LogFormat format, LogLevel least);
bool log_enabled(LogLevel level);
void log_write(LogLevel level, std::string_view event, LogFields fields);

inline void log_debug(std::string_view event, LogFields fields = {}) {
  if (log_enabled(LogLevel::kDebug)) log_write(LogLevel::kDebug, event, fields);
}
inline void log_info(std::string_view event, LogFields fields = {}) {
  if (log_enabled(LogLevel::kInfo)) log_write(LogLevel::kInfo, event, fields);
}
inline void log_warning(std::string_view event, LogFields fields = {}) {
  log_write(LogLevel::kWarning, event, fields);
}
inline void log_error(std::string_view event, LogFields fields = {}) {
  log_write(LogLevel::kError, event, fields);
}

// One line without its newline, as log_write makes it. Pure; for tests.
std::string format_log_line(LogFormat format, LogLevel level, std::int64_t wall_ms,
                            std::string_view event, LogFields fields);

// RFC 3339 in UTC with milliseconds: 2026-01-31T12:00:00.000Z.
std::string format_rfc3339(std::int64_t wall_ms);

// `text` as the inside of a JSON string: escaped, ill-formed UTF-8 replaced.
std::string json_escape(std::string_view text);

}  // namespace base
