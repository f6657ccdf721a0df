#include "relayd/tickets/ticket.h"

#include <nlohmann/json.hpp>

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "relayd/tickets/json_text.h"
#include "relayd/tickets/webhook.h"

namespace tickets {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kFieldMax = 1000;
constexpr std::size_t kMessageIdsMax = 200;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string dump_without_raw(Json data) {
  data.erase("raw");
  return dump(data);
}

// Text from outside that is valid UTF-8 before it goes into a document.
Json text(std::string_view value) { return clean(value); }

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

std::optional<std::string> first_message_id(const MimeParts& parts, std::string_view name) {
  const std::string* value = parts.find(name);
  if (value == nullptr || value->empty()) return std::nullopt;
  auto ids = message_ids(value);
  if (ids.empty()) return *value;
  return std::move(ids.front());
}

std::optional<std::string> subject(const MimeParts& parts) {
  const std::string* value = parts.find("Subject");
  if (value == nullptr) return std::nullopt;
  return decode_unstructured(*value);
}

// Trusted by password means: came over an authenticated relay (product rules A3, T5).
std::vector<std::string> tags(const queue::Message& message) {
  if (message.trust == "password") return {"authenticated-relay"};
  return {};
}

// The judgement's document, as JSON texts, with a place for every check; what it says about the
// ticket itself (disposition, reasons) is taken out.
struct Verdict {
  std::string authentication, disposition, reasons;
};
Verdict verdict(const queue::Message& message) {
  JsonMembers judged(message.judgement);
  Verdict out;
  judged.take("loop", {});  // see automated_reason()
  out.disposition = judged.take("disposition", "\"accepted\"");
  out.reasons = judged.take("reasons", "[]");
  JsonObject authentication(out.authentication);
  authentication.json("spf", judged.take("spf", "{}"))
      .json("dkim", judged.take("dkim", "[]"))
      .json("dmarc", judged.take("dmarc", "{}"))
      .json("arc", judged.take("arc", "{}"));
  for (const auto& [key, value] : judged.others()) authentication.json(key, value);
  authentication.end();
  return out;
}

void add_or_null(JsonObject& object, std::string_view key,
                 const std::optional<std::string>& value) {
  if (value) {
    object.text(key, *value);
  } else {
    object.json(key, "null");
  }
}

void append_strings(std::string& out, const std::vector<std::string>& list) {
  out += '[';
  for (const std::string& one : list) {
    if (&one != &list.front()) out += ',';
    append_json_string(out, one);
  }
  out += ']';
}

void append_envelope(std::string& out, const queue::Message& message) {
  std::vector<std::string> recipients;
  for (const auto& recipient : message.envelope.recipients)
    recipients.push_back(clean(recipient.address));
  JsonObject envelope(out);
  envelope.text("mail_from", clean(message.envelope.mail_from)).member("rcpt_to");
  append_strings(out, recipients);
  envelope.text("helo", clean(message.helo)).text("remote_ip", clean(message.remote_ip)).end();
}

void append_automated(std::string& out, const std::string& why) {
  JsonObject automated(out);
  if (why.empty()) {
    automated.json("is", "false").json("reason", "null");
  } else {
    automated.json("is", "true").text("reason", why);
  }
  automated.end();
}

void append_headers(std::string& out, const MimeParts& parts) {
  out += '[';
  for (const auto& header : parts.headers) {
    out += &header == &parts.headers.front() ? "[" : ",[";
    append_json_string(out, header.first);
    out += ',';
    append_json_string(out, header.second);
    out += ']';
  }
  out += ']';
}

void append_attachments(std::string& out, const MimeParts& parts) {
  out += '[';
  for (const Attachment& one : parts.attachments) {
    if (&one != &parts.attachments.front()) out += ',';
    JsonObject attachment(out);
    add_or_null(attachment, "name", one.name);
    attachment.text("content_type", one.content_type).json("size", std::to_string(one.size)).end();
  }
  out += ']';
}

void append_received(std::string& out, const queue::Message& message, const MimeParts& parts,
                     const std::string& why) {
  const Verdict judged = verdict(message);
  JsonObject data(out);
  data.text("id", message.id.str())
      .text("tenant", clean(message.tenant))
      .text("domain", clean(message.domain))
      .text("recipient", clean(message.support_address))
      .text("trust", clean(message.trust))
      .member("tags");
  append_strings(out, tags(message));
  data.json("disposition", judged.disposition).json("reasons", judged.reasons).member("envelope");
  append_envelope(out, message);
  data.json("authentication", judged.authentication).member("automated");
  append_automated(out, why);
  add_or_null(data, "message_id", first_message_id(parts, "Message-ID"));
  add_or_null(data, "in_reply_to", first_message_id(parts, "In-Reply-To"));
  data.member("references");
  append_strings(out, message_ids(parts.find("References")));
  add_or_null(data, "subject", subject(parts));
  data.member("headers");
  append_headers(out, parts);
  add_or_null(data, "text", parts.text);
  add_or_null(data, "html", parts.html);
  if (parts.text_truncated) data.json("text_truncated", "true");
  data.member("attachments");
  append_attachments(out, parts);
  data.end();
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
    const Verdict judged = verdict(message);
    data["trust"] = text(message.trust);
    data["disposition"] = Json::parse(judged.disposition);
    data["authentication"] = Json::parse(judged.authentication);
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
  Ticket ticket{{{"Content-Type", "application/json"}}, "", Body::Encoding::kBase64, "\"}}"};
  JsonObject event(ticket.head);
  // RFC 3339 to the second.
  event.text("type", event_name(message))
      .text("timestamp", base::format_rfc3339(message.arrival_ms).substr(0, 19) + "Z")
      .member("data");
  switch (message.kind) {
    case queue::Kind::kBounce:
      ticket.head += dump_without_raw(bounced(message));
      break;
    case queue::Kind::kEvent:
      ticket.head += dump_without_raw(happened(message));
      if (message.body.size() > 0) break;
      ticket.head += '}';  // there is no message
      ticket.tail.clear();
      return ticket;
    default:
      append_received(ticket.head, message, parts, automated);
  }
  ticket.head.pop_back();
  ticket.head += ",\"raw\":\"";  // last, so that the message streams in front of the tail
  return ticket;
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
  const Json disposition = Json::parse(judged.disposition);
  add("Disposition", disposition.is_string() ? disposition.get<std::string>() : "accepted");
  std::string reasons;
  for (const Json& one : Json::parse(judged.reasons)) {
    if (one.is_string()) reasons += (reasons.empty() ? "" : "; ") + one.get<std::string>();
  }
  add("Reasons", reasons);
  const Json authentication = Json::parse(judged.authentication);
  add("Spf", result_of(authentication["spf"]));
  add("Dkim", dkim_result(authentication["dkim"]));
  add("Dmarc", result_of(authentication["dmarc"]));
  add("Arc", result_of(authentication["arc"]));
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
  add("recipient", clean(message.support_address));
  add("sender", clean(message.envelope.mail_from));
  // As it was written: a decoded display name could read as another address.
  add("from", from == nullptr ? "" : clean(*from));
  add("subject", subject(parts).value_or(""));
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
