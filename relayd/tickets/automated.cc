#include "relayd/tickets/automated.h"

#include "core/base/bytes.h"

namespace tickets {
namespace {

// The first word of a field: parameters and comments behind it do not matter here.
std::string first_word(const std::string& value) {
  const std::string_view text = base::trim(value);
  return base::ascii_lower(base::printable(text.substr(0, text.find_first_of(" \t;,(")), 60));
}

}  // namespace

std::string automated_reason(const MimeParts& parts, std::string_view mail_from) {
  if (mail_from.empty()) return "null-sender";
  if (const std::string* value = parts.find("Auto-Submitted")) {
    const std::string word = first_word(*value);
    if (!word.empty() && word != "no") return "auto-submitted: " + word;
  }
  if (parts.content_type.is("multipart/report")) return "multipart/report";
  if (parts.find("List-Id") != nullptr) return "list-id";
  if (const std::string* value = parts.find("Precedence")) {
    const std::string word = first_word(*value);
    if (word == "bulk" || word == "list" || word == "junk" || word == "auto_reply") {
      return "precedence: " + word;
    }
  }
  if (parts.find("X-Autoreply") != nullptr || parts.find("X-Autorespond") != nullptr) {
    return "x-autoreply";
  }
  // Exchange's out-of-office replies and our own back ends' notifications say which automatic
  // answers they do not want.
  if (const std::string* value = parts.find("X-Auto-Response-Suppress")) {
    for (const std::string_view part : base::split(*value, ',')) {
      const std::string word = base::ascii_lower(base::trim(part));
      if (word == "all" || word == "autoreply" || word == "oof") {
        return "x-auto-response-suppress: " + word;
      }
    }
  }
  return {};
}

}  // namespace tickets
