#include "relayd/tickets/ticket.h"

#include <nlohmann/json.hpp>

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "relayd/tickets/webhook.h"

namespace tickets {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kFieldMax = 1000;
constexpr std::size_t kMessageIdsMax = 200;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Text from outside that is valid UTF-8 before it goes into a document.
Json text(std::string_view value) { return clean(value); }

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json object_from(const std::string& document) {
  Json parsed = Json::parse(document, nullptr, /*allow_exceptions=*/false);
  return parsed.is_object() ? parsed : Json::object();
}

// The msg-ids of a field (RFC 5322 3.6.4), with their angle brackets.
std::vector<std::string> message_ids(const std::string* value) {
  std::vector<std::string> ids;
  if (value == nullptr) return ids;
  std::string_view rest = *value;
  while (ids.size() < kMessageIdsMax) {
    const auto begin = rest.find('<');
    const auto end = rest.find('>', begin == std::string_view::npos ? 0 : begin);
    if (begin == std::string_view::npos || end == std::string_view::npos) break;
    ids.emplace_back(rest.substr(begin, end - begin + 1));
    rest.remove_prefix(end + 1);
  }
  return ids;
}

Json first_message_id(const MimeParts& parts, std::string_view name) {
  const std::string* value = parts.find(name);
  if (value == nullptr || value->empty()) return nullptr;
  const auto ids = message_ids(value);
  return ids.empty() ? *value : ids.front();
}

Json subject(const MimeParts& parts) {
  const std::string* value = parts.find("Subject");
  return value == nullptr ? Json(nullptr) : Json(decode_unstructured(*value));
}

// Trusted by password means: came over an authenticated relay (product rules A3, T5).
std::vector<std::string> tags(const queue::Message& message) {
  if (message.trust == "password") return {"authenticated-relay"};
  return {};
}

Json envelope(const queue::Message& message) {
  Json recipients = Json::array();
  for (const auto& recipient : message.envelope.recipients)
    recipients.push_back(text(recipient.address));
  return {{"mail_from", text(message.envelope.mail_from)},
          {"rcpt_to", std::move(recipients)},
          {"helo", text(message.helo)},
          {"remote_ip", text(message.remote_ip)}};
}

// The judgement's document with a place for every check; what it says about the ticket itself
// (disposition, reasons) is taken out.
struct Verdict {
  Json authentication, disposition, reasons;
};
Verdict verdict(const queue::Message& message) {
  Json judged = object_from(message.judgement);
  const auto take = [&](const char* key, Json standard) {
    const auto at = judged.find(key);
    if (at == judged.end()) return standard;
    Json value = *at;
    judged.erase(at);
    return value;
  };
  Verdict out;
  take("loop", nullptr);  // see automated_reason()
  out.disposition = take("disposition", "accepted");
  out.reasons = take("reasons", Json::array());
  out.authentication = {{"spf", take("spf", Json::object())},
                        {"dkim", take("dkim", Json::array())},
                        {"dmarc", take("dmarc", Json::object())},
                        {"arc", take("arc", Json::object())}};
  out.authentication.update(judged);
  return out;
}

Json attachments(const MimeParts& parts) {
  Json list = Json::array();
  for (const Attachment& one : parts.attachments) {
    list.push_back(
        {{"name", or_null(one.name)}, {"content_type", one.content_type}, {"size", one.size}});
  }
  return list;
}

Json received(const queue::Message& message, const MimeParts& parts, const std::string& why) {
  Verdict judged = verdict(message);
  Json headers = Json::array();
  for (const auto& [name, value] : parts.headers) headers.push_back(Json::array({name, value}));
  Json data = {
      {"id", message.id.str()},
      {"tenant", text(message.tenant)},
      {"domain", text(message.domain)},
      {"recipient", text(message.support_address)},
      {"trust", text(message.trust)},
      {"tags", tags(message)},
      {"disposition", std::move(judged.disposition)},
      {"reasons", std::move(judged.reasons)},
      {"envelope", envelope(message)},
      {"authentication", std::move(judged.authentication)},
      {"automated", {{"is", !why.empty()}, {"reason", why.empty() ? Json(nullptr) : Json(why)}}},
      {"message_id", first_message_id(parts, "Message-ID")},
      {"in_reply_to", first_message_id(parts, "In-Reply-To")},
      {"references", message_ids(parts.find("References"))},
      {"subject", subject(parts)},
      {"headers", std::move(headers)},
      {"text", or_null(parts.text)},
      {"html", or_null(parts.html)}};
  if (parts.text_truncated) data["text_truncated"] = true;
  data["attachments"] = attachments(parts);
  return data;
}

// What egress wrote down about the failure, under keys of ours that it cannot replace.
Json bounced(const queue::Message& message) {
  Json data = {{"id", message.id.str()},
               {"related_id", text(message.related_id)},
               {"tenant", text(message.tenant)},
               {"domain", text(message.domain)},
               {"envelope", nullptr},
               {"recipients", Json::array()}};
  const Json details = object_from(message.details);
  for (const auto& [key, value] : details.items()) {
    if (key == "envelope" || key == "recipients" || !data.contains(key)) data[key] = value;
  }
  return data;
}

// Something that happened, as whoever saw it wrote it down.
Json happened(const queue::Message& message) {
  Json data = {{"id", message.id.str()}};
  if (!message.related_id.empty()) data["related_id"] = text(message.related_id);
  data["tenant"] = text(message.tenant);
  if (!message.domain.empty()) data["domain"] = text(message.domain);
  if (!message.judgement.empty()) {  // it came as a mail: how far that can be trusted
    Verdict judged = verdict(message);
    data["trust"] = text(message.trust);
    data["disposition"] = std::move(judged.disposition);
    data["authentication"] = std::move(judged.authentication);
  }
  const Json details = object_from(message.details);
  for (const auto& [key, value] : details.items()) {
    if (!data.contains(key)) data[key] = value;
  }
  return data;
}

std::string event_name(const queue::Message& message) {
  switch (message.kind) {
    case queue::Kind::kBounce:
      return "message.bounced";
    case queue::Kind::kEvent:
      return message.event;
    default:
      return "message.received";
  }
}

Json event_data(const queue::Message& message, const MimeParts& parts,
                const std::string& automated) {
  switch (message.kind) {
    case queue::Kind::kBounce:
      return bounced(message);
    case queue::Kind::kEvent:
      return happened(message);
    default:
      return received(message, parts, automated);
  }
}

// An event that was written down while the tenant's format was JSON has no mail: its details are
// one.
std::string as_mail(const queue::Message& message) {
  return "Subject: " + message.event + "\r\nMIME-Version: 1.0\r\n" +
         "Content-Type: application/json\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
         dump(happened(message)) + "\r\n";
}

std::string result_of(const Json& check) {
  if (!check.is_object()) return "none";
  const auto at = check.find("result");
  return at != check.end() && at->is_string() ? at->get<std::string>() : "none";
}

// One word for all signatures: pass where one passes, else what the first one has.
std::string dkim_result(const Json& signatures) {
  if (!signatures.is_array() || signatures.empty()) return "none";
  for (const Json& one : signatures) {
    if (result_of(one) == "pass") return "pass";
  }
  return result_of(signatures.front());
}

std::string sender(const queue::Message& message) {
  return message.envelope.mail_from.empty() ? "<>" : message.envelope.mail_from;
}

}  // namespace

std::string field_value(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = c >= 0x20 && c < 0x7f && c != '%';
    if (out.size() + (plain ? 1 : 3) > kFieldMax) break;
    if (plain) {
      out += c;
    } else {
      out += '%' + base::ascii_upper(base::hex_encode(std::string_view(&c, 1)));
    }
  }
  return out;
}

Ticket render_json(const queue::Message& message, const MimeParts& parts,
                   const std::string& automated) {
  Json data = event_data(message, parts, automated);
  data.erase("raw");
  // RFC 3339 to the second.
  const std::string time = base::format_rfc3339(message.arrival_ms).substr(0, 19) + "Z";
  if (message.kind == queue::Kind::kEvent && message.body.size() == 0) {  // there is no message
    return {{{"Content-Type", "application/json"}},
            dump({{"type", event_name(message)}, {"timestamp", time}, {"data", std::move(data)}}),
            Body::Encoding::kBase64,
            ""};
  }
  data["raw"] = "";  // last, so that the message streams in front of the tail
  constexpr std::string_view kTail = "\"}}";
  std::string document =
      dump({{"type", event_name(message)}, {"timestamp", time}, {"data", std::move(data)}});
  document.resize(document.size() - kTail.size());
  return {{{"Content-Type", "application/json"}},
          std::move(document),
          Body::Encoding::kBase64,
          std::string(kTail)};
}

Ticket render_rfc822(const queue::Message& message, const std::string& automated) {
  Ticket ticket{{{"Content-Type", "message/rfc822"}}, "", Body::Encoding::kRaw, ""};
  const auto add = [&](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    ticket.fields.emplace_back("X-Relayd-" + std::string(name), field_value(value));
  };
  const Verdict judged = verdict(message);
  std::string recipients, tag_list;
  for (const auto& one : message.envelope.recipients) {
    recipients += (recipients.empty() ? "" : ", ") + one.address;
    if (recipients.size() > kFieldMax) break;
  }
  for (const auto& one : tags(message)) tag_list += (tag_list.empty() ? "" : ", ") + one;
  add("Event", event_name(message));
  add("Id", message.id.str());
  add("Related-Id", message.related_id);
  add("Tenant", message.tenant);
  add("Domain", message.domain);
  add("Recipient", message.support_address);
  add("Mail-From", sender(message));
  add("Rcpt-To", recipients);
  add("Helo", message.helo);
  add("Remote-Ip", message.remote_ip);
  add("Trust", message.trust);
  add("Tags", tag_list);
  add("Disposition",
      judged.disposition.is_string() ? judged.disposition.get<std::string>() : "accepted");
  std::string reasons;
  for (const Json& one : judged.reasons) {
    if (one.is_string()) reasons += (reasons.empty() ? "" : "; ") + one.get<std::string>();
  }
  add("Reasons", reasons);
  add("Spf", result_of(judged.authentication["spf"]));
  add("Dkim", dkim_result(judged.authentication["dkim"]));
  add("Dmarc", result_of(judged.authentication["dmarc"]));
  add("Arc", result_of(judged.authentication["arc"]));
  // A report or an event is never to be answered.
  const bool ours = message.kind != queue::Kind::kInbound;
  add("Automated", ours ? "report" : automated.empty() ? "no" : automated);
  if (message.kind == queue::Kind::kEvent && message.body.size() == 0)
    ticket.head = as_mail(message);
  return ticket;
}

Ticket render_mailgun(const queue::Message& message, const MimeParts& parts,
                      std::string_view secret, std::int64_t timestamp_s, std::string_view random,
                      const std::string& automated) {
  const std::string token = base::hex_encode(random);
  const std::string boundary = "relayd-" + token;
  const std::string timestamp = std::to_string(timestamp_s);
  Ticket ticket{{{"Content-Type", "multipart/form-data; boundary=" + boundary}},
                "",
                Body::Encoding::kRaw,
                "\r\n--" + boundary + "--\r\n"};
  const auto begin = [&](std::string_view name) {
    ticket.head += "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" +
                   std::string(name) + "\"\r\n\r\n";
  };
  const auto add = [&](std::string_view name, std::string_view value) {
    begin(name);
    ticket.head += std::string(value) + "\r\n";
  };
  const std::string* from = parts.find("From");
  const Json title = subject(parts);
  add("recipient", clean(message.support_address));
  add("sender", clean(message.envelope.mail_from));
  // As it was written: a decoded display name could read as another address.
  add("from", from == nullptr ? "" : clean(*from));
  add("subject", title.is_string() ? title.get<std::string>() : "");
  add("timestamp", timestamp);
  add("token", token);
  add("signature", form_signature(secret, timestamp, token));
  if (message.kind == queue::Kind::kInbound) {
    add("relayd-automated", automated.empty() ? "no" : automated);
  } else {
    add("relayd-event", event_name(message));
    add("relayd-related-id", message.related_id);
  }
  begin("body-mime");
  if (message.kind == queue::Kind::kEvent && message.body.size() == 0)
    ticket.head += as_mail(message);
  return ticket;
}

}  // namespace tickets
