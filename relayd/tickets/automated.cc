#include "relayd/tickets/automated.h"

#include <algorithm>
#include <array>

#include "core/base/bytes.h"

namespace tickets {
namespace {

// The first word of a field: parameters and comments behind it do not matter here.
std::string first_word(const std::string& value) {
  const std::string_view text = base::trim(value);
  return base::ascii_lower(base::printable(text.substr(0, text.find_first_of(" \t;,(")), 60));
}

// RFC 3834 2: senders that no automatic answer goes to.
bool is_robot(std::string_view mail_from) {
  const std::string local = base::ascii_lower(mail_from.substr(0, mail_from.rfind('@')));
  constexpr std::array<std::string_view, 2> kNames = {"mailer-daemon", "listserv"};
  return std::find(kNames.begin(), kNames.end(), local) != kNames.end() ||
         local.ends_with("-request") || local.starts_with("owner-");
}

std::string of_lists(const MimeParts& parts) {
  for (const char* name : {"List-Id", "List-Post", "List-Unsubscribe", "List-Help",
                           "List-Subscribe", "List-Owner", "List-Archive", "Mailing-List"}) {
    if (parts.find(name) != nullptr) return std::string("list: ") + base::ascii_lower(name);
  }
  if (const std::string* value = parts.find("Precedence")) {
    const std::string word = first_word(*value);
    if (word == "bulk" || word == "list" || word == "junk" || word == "auto_reply") {
      return "precedence: " + word;
    }
  }
  return {};
}

std::string of_responders(const MimeParts& parts) {
  for (const char* name : {"X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Auto-Reply-From",
                           "X-Mail-Autoreply", "X-Vacation"}) {
    if (parts.find(name) != nullptr) return "x-autoreply";
  }
  // Exchange's out-of-office replies and our own back ends' notifications say which automatic
  // answers they do not want.
  if (const std::string* value = parts.find("X-Auto-Response-Suppress")) {
    for (const std::string_view part : base::parts(*value, ',')) {
      const std::string word = base::ascii_lower(base::trim(part));
      if (word == "all" || word == "autoreply" || word == "oof") {
        return "x-auto-response-suppress: " + word;
      }
    }
  }
  return {};
}

}  // namespace

std::string automated_reason(const MimeParts& parts, const queue::Message& message,
                             const std::vector<std::string>& marker_headers) {
  const std::string& mail_from = message.envelope.mail_from;
  if (mail_from.empty()) return "null-sender";
  if (const std::string* value = parts.find("Auto-Submitted")) {
    const std::string word = first_word(*value);
    if (!word.empty() && word != "no") return "auto-submitted: " + word;
  }
  if (parts.content_type.is("multipart/report")) return "report";
  for (const std::string& name : marker_headers) {
    if (parts.find(name) != nullptr) return "marker: " + base::ascii_lower(name);
  }
  if (std::string why = of_lists(parts); !why.empty()) return why;
  if (std::string why = of_responders(parts); !why.empty()) return why;
  if (is_robot(mail_from)) return "sender: " + base::printable(base::ascii_lower(mail_from), 60);
  // Written by relayd where the pair's rate was counted (policy/pair_rate.h).
  if (message.judgement.find(R"("loop":"rate")") != std::string::npos) return "loop: rate";
  return {};
}

}  // namespace tickets
