// Whole documents: every cases/NAME.eml gives cases/NAME.json (without `raw`, which must be the
// message).
#include "relayd/tickets/ticket.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/bytes.h"
#include "relayd/tickets/automated.h"
#include "relayd/tickets/body.h"
#include "tickets/support.h"

namespace tickets {
namespace {

using nlohmann::json;
using tickets_test::MemoryReader;
using tickets_test::with_crlf;

const std::string kCases = std::string(RELAYD_TESTS_DIR) + "/tickets/cases/";
const base::Limits kLimits;

queue::Message sample() {
  queue::Message message;
  message.id = *base::Id::parse("01HZ0000000000000000000000");
  message.tenant = "acme";
  message.domain = "acme.example";
  message.support_address = "support@acme.example";
  message.envelope.mail_from = "ann@customer.example";
  message.envelope.recipients = {{"support@acme.example", "", ""}, {"Sales@acme.example", "", ""}};
  message.helo = "mx.customer.example";
  message.remote_ip = "192.0.2.1";
  message.trust = "password";
  message.judgement = R"({"spf": {"result": "pass", "domain": "customer.example"}, "dkim": [],
                          "dmarc": {"result": "none"}})";
  message.arrival_ms = 1'769'860'800'250;
  return message;
}

MimeParts parts_of(const std::string& mail, std::size_t piece,
                   const base::Limits& limits = kLimits) {
  MimeWalk walk(limits);
  for (std::size_t at = 0; at < mail.size(); at += piece) {
    walk.feed(std::string_view(mail).substr(at, piece));
  }
  return walk.finish();
}

std::string whole_body(const Ticket& ticket, const std::string& mail, std::size_t chunk = 1000) {
  const Body body(ticket.head, std::make_shared<MemoryReader>(mail), ticket.encoding, ticket.tail);
  std::string out, buffer(chunk, '\0');
  for (;;) {
    const auto count = body.read(out.size(), std::span(buffer));
    if (!count.ok() || *count == 0) break;
    out.append(buffer, 0, *count);
  }
  EXPECT_EQ(out.size(), body.size());
  return out;
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kCases)) {
    if (entry.path().extension() == ".eml") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Case : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, Case, testing::ValuesIn(case_names()),
                         [](const auto& which) { return which.param; });

TEST_P(Case, GivesTheExpectedDocument) {
  const std::string mail =
      tickets_test::with_crlf(tickets_test::slurp(kCases + GetParam() + ".eml"));
  const MimeParts parts = parts_of(mail, mail.size());
  const std::string why = automated_reason(parts, sample(), {});
  const std::string document = whole_body(render_json(sample(), parts, why), mail);
  EXPECT_EQ(nlohmann::ordered_json::parse(document).dump(), document);
  json got = json::parse(document);
  EXPECT_EQ(base::base64_decode(got["data"]["raw"].get<std::string>()), mail);
  got["data"].erase("raw");
  const std::string expected = tickets_test::slurp(kCases + GetParam() + ".json");
  ASSERT_TRUE(json::accept(expected)) << got.dump(1);
  EXPECT_EQ(json::parse(expected), got) << got.dump(1);
}

TEST_P(Case, DoesNotDependOnHowItIsSplit) {
  const std::string mail =
      tickets_test::with_crlf(tickets_test::slurp(kCases + GetParam() + ".eml"));
  const std::string whole = render_json(sample(), parts_of(mail, mail.size())).head;
  for (const std::size_t piece : {1U, 2U, 3U, 7U, 64U, 100U}) {
    EXPECT_EQ(render_json(sample(), parts_of(mail, piece)).head, whole) << "pieces of " << piece;
  }
}

// Cut off anywhere, read anyhow: never a crash, always a document.
TEST_P(Case, TruncatedAnywhereIsStillATicket) {
  const std::string mail =
      tickets_test::with_crlf(tickets_test::slurp(kCases + GetParam() + ".eml"));
  for (std::size_t size = 0; size < mail.size(); ++size) {
    const std::string part = mail.substr(0, size);
    ASSERT_TRUE(json::accept(whole_body(render_json(sample(), parts_of(part, 50)), part)));
  }
}

TEST(Ticket, JudgementMayDecideTheDisposition) {
  queue::Message message = sample();
  message.judgement =
      R"({"disposition": "suspended", "reasons": ["dmarc-fail"], "spf": {"result": "fail"}})";
  message.trust = "none";
  const json data = json::parse(whole_body(render_json(message, {}), ""))["data"];
  EXPECT_EQ(data["disposition"], "suspended");
  EXPECT_EQ(data["reasons"], json({"dmarc-fail"}));
  EXPECT_EQ(data["authentication"],
            json::parse(R"({"spf": {"result": "fail"}, "dkim": [], "dmarc": {}, "arc": {}})"));
  EXPECT_EQ(data["tags"], json::array());
  message.judgement = "not json";
  EXPECT_EQ(json::parse(whole_body(render_json(message, {}), ""))["data"]["disposition"],
            "accepted");
}

TEST(Ticket, JudgementIsTakenOverAsItIsWritten) {
  queue::Message message = sample();
  message.judgement = R"({ "dmarc": {"a": [1, {"b": "} \", {"}], "c": "\u00fc\\"}, "loop":"rate",
      "more": -1.5e3, "spf": "x", "last": [ ] })";
  const std::string document = whole_body(render_json(message, {}), "");
  EXPECT_NE(
      document.find(R"("authentication":{"spf":"x","dkim":[],"dmarc":{"a":[1,{"b":"} \", {"}],)"
                    R"("c":"\u00fc\\"},"arc":{},"more":-1.5e3,"last":[]},"automated")"),
      std::string::npos)
      << document;
  EXPECT_TRUE(json::accept(document));
  for (const char* broken : {"", "[]", "{", R"({"spf": tru})", "{} {}", "\"{}\""}) {
    message.judgement = broken;
    EXPECT_NE(whole_body(render_json(message, {}), "")
                  .find(R"("authentication":{"spf":{},"dkim":[],"dmarc":{},"arc":{}},)"),
              std::string::npos)
        << broken;
  }
}

TEST(Ticket, StringsAreEscaped) {
  queue::Message message = sample();
  message.helo = std::string("\"\\\b\f\n\r\t\x01\x1f\x7f/\xc3\xbc\xff\0", 15);
  const std::string document = whole_body(render_json(message, {}), "");
  EXPECT_NE(document.find("\"helo\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f/\xc3\xbc"
                          "\xef\xbf\xbd\xef\xbf\xbd\""),
            std::string::npos)
      << document;
}

TEST(Ticket, BounceIsAnEventTiedToItsMessage) {
  queue::Message message = sample();
  message.kind = queue::Kind::kBounce;
  message.related_id = "01HZ0000000000000000000001";
  message.details = R"({"id": "forged", "envelope": {"mail_from": "support@acme.example"},
      "recipients": [{"address": "x@y.example", "status": "5.1.1",
                      "diagnostic": "550 no such user"}]})";
  const json event = json::parse(whole_body(render_json(message, {}), "report"));
  EXPECT_EQ(event, json::parse(R"({"type": "message.bounced", "timestamp": "2026-01-31T12:00:00Z",
      "data": {"id": "01HZ0000000000000000000000", "related_id": "01HZ0000000000000000000001",
      "tenant": "acme", "domain": "acme.example", "envelope": {"mail_from": "support@acme.example"},
      "recipients": [{"address": "x@y.example", "status": "5.1.1",
                      "diagnostic": "550 no such user"}],
      "raw": "cmVwb3J0"}})"));
}

TEST(Ticket, Rfc822FieldsAreSafe) {
  queue::Message message = sample();
  message.helo = "evil\r\nX-Injected: 1";
  message.envelope.mail_from = "пётр@пример.example";
  message.envelope.recipients.assign(1000, {"someone@acme.example", "", ""});
  const Ticket ticket = render_rfc822(message);
  std::map<std::string, std::string> fields;
  for (const auto& [name, value] : ticket.fields) {
    EXPECT_LE(value.size(), 1000u) << name;
    for (const char c : value) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << name;
    fields[name] = value;
  }
  EXPECT_EQ(fields["Content-Type"], "message/rfc822");
  EXPECT_EQ(fields["X-Relayd-Helo"], "evil%0D%0AX-Injected: 1");
  EXPECT_EQ(fields["X-Relayd-Mail-From"].substr(0, 8), "%D0%BF%D");
  EXPECT_EQ(fields["X-Relayd-Spf"], "pass");
  EXPECT_EQ(fields["X-Relayd-Dkim"], "none");
  EXPECT_EQ(fields["X-Relayd-Tags"], "authenticated-relay");
  EXPECT_EQ(fields["X-Relayd-Automated"], "no");
  EXPECT_EQ(whole_body(ticket, "raw\r\n"), "raw\r\n");
}

TEST(Ticket, NullSenderIsSaid) {
  queue::Message message = sample();
  message.envelope.mail_from.clear();
  const std::string why = automated_reason({}, message, {});
  const json data = json::parse(whole_body(render_json(message, {}, why), ""))["data"];
  EXPECT_EQ(data["automated"], json({{"is", true}, {"reason", "null-sender"}}));
  EXPECT_EQ(data["envelope"]["mail_from"], "");
}

TEST(Ticket, AutomatedWithItsReason) {
  const auto why = [](const std::string& fields, const std::string& from = "ann@c.example") {
    queue::Message message = sample();
    message.envelope.mail_from = from;
    return automated_reason(parts_of(with_crlf(fields + "\nx"), 100), message,
                            {"X-Desk-From-Account-Id"});
  };
  EXPECT_EQ(why("Subject: hello\n"), "");
  EXPECT_EQ(why("Auto-Submitted: no\n"), "");
  EXPECT_EQ(why("Auto-Submitted: Auto-Generated; x=y\n"), "auto-submitted: auto-generated");
  EXPECT_EQ(why("Content-Type: multipart/report; boundary=b\n"), "report");
  EXPECT_EQ(why("List-Post: <x>\n"), "list: list-post");
  EXPECT_EQ(why("Precedence: junk\n"), "precedence: junk");
  EXPECT_EQ(why("Precedence: first-class\n"), "");
  EXPECT_EQ(why("X-Autorespond: yes\n"), "x-autoreply");
  EXPECT_EQ(why("X-Auto-Response-Suppress: DR, AutoReply\n"),
            "x-auto-response-suppress: autoreply");
  EXPECT_EQ(why("X-Auto-Response-Suppress: DR\n"), "");
  EXPECT_EQ(why("x-desk-from-account-id: 12\n"), "marker: x-desk-from-account-id");
  EXPECT_EQ(why("A: b\n", "MAILER-DAEMON@c.example"), "sender: mailer-daemon@c.example");
  EXPECT_EQ(why("A: b\n", "users-request@c.example"), "sender: users-request@c.example");

  queue::Message message = sample();
  message.judgement = R"({"spf":{"result":"pass"},"loop":"rate"})";
  EXPECT_EQ(automated_reason({}, message, {}), "loop: rate");
  const json data = json::parse(whole_body(render_json(message, {}, "loop: rate"), ""))["data"];
  EXPECT_FALSE(data["authentication"].contains("loop"));
}

// What is written down for a JSON back end and handed over after it has become another one.
TEST(Ticket, AnEventWithoutAMailIsOneInEveryFormat) {
  queue::Message message = sample();
  message.kind = queue::Kind::kEvent;
  message.event = "connector.locked";
  message.details = R"({"account": "relayd"})";
  const json event = json::parse(whole_body(render_json(message, {}), ""));
  EXPECT_EQ(event["type"], "connector.locked");
  EXPECT_FALSE(event["data"].contains("raw"));
  const std::string mail = whole_body(render_rfc822(message), "");
  EXPECT_TRUE(mail.starts_with("Subject: connector.locked\r\n")) << mail;
  EXPECT_NE(mail.find(R"("account":"relayd")"), std::string::npos) << mail;
  const std::string form =
      whole_body(render_mailgun(message, {}, "s", 0, std::string(32, 'r')), "");
  EXPECT_NE(form.find("name=\"relayd-event\"\r\n\r\nconnector.locked\r\n"), std::string::npos);
  EXPECT_NE(form.find("name=\"body-mime\"\r\n\r\nSubject: connector.locked\r\n"),
            std::string::npos);

  message.body.content_size = 6;  // a delivery report that came by mail
  message.event = "message.bounced";
  message.related_id = "01HZ0000000000000000000001";
  const json tied = json::parse(whole_body(render_json(message, {}), "report"));
  EXPECT_EQ(tied["type"], "message.bounced");
  EXPECT_EQ(tied["data"]["raw"], "cmVwb3J0");
  EXPECT_EQ(whole_body(render_rfc822(message), "report"), "report");
}

TEST(Body, GivesTheSameOctetsFromEveryOffset) {
  std::string mail;
  for (int i = 0; i < 1000; ++i) mail += static_cast<char>(i * 7);
  for (const std::size_t cut : {998u, 999u, 1000u}) {
    const std::string raw = mail.substr(0, cut);
    const std::string expected = "head" + base::base64_encode(raw) + "tail";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{5}, std::size_t{4096}}) {
      const Body body("head", std::make_shared<MemoryReader>(raw, piece), Body::Encoding::kBase64,
                      "tail");
      ASSERT_EQ(body.size(), expected.size());
      std::string buffer(61, '\0');
      for (std::size_t offset = 0; offset < expected.size(); ++offset) {
        const auto count = body.read(offset, std::span(buffer));
        ASSERT_TRUE(count.ok() && *count > 0);
        ASSERT_EQ(buffer.substr(0, *count), expected.substr(offset, *count)) << offset;
      }
      EXPECT_EQ(*body.read(expected.size(), std::span(buffer)), 0u);
    }
  }
}

TEST(Hostile, DeepNestingIsCutOff) {
  std::string mail = "Subject: deep\r\n";
  for (int i = 0; i < 10'000; ++i) {
    mail += "Content-Type: multipart/mixed; boundary=b" + std::to_string(i) + "\r\n\r\n--b" +
            std::to_string(i) + "\r\n";
  }
  mail += "\r\nbottom\r\n";
  const MimeParts parts = parts_of(mail, 4096);
  ASSERT_EQ(parts.attachments.size(), 1u);
  EXPECT_EQ(parts.attachments[0].content_type, "multipart/mixed");
}

TEST(Hostile, ManyPartsAreCutOff) {
  std::string mail = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
  for (int i = 0; i < 200'000; ++i) mail += "--b\r\nContent-Type: a/b\r\n\r\n\r\n";
  const MimeParts parts = parts_of(mail, 65536);
  EXPECT_EQ(parts.attachments.size(), static_cast<std::size_t>(kLimits.ticket_parts) - 1);
  EXPECT_TRUE(parts.text_truncated);
}

TEST(Hostile, PartHeaderWithoutEnd) {
  std::string mail = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
  for (int i = 0; i < 100'000; ++i)
    mail += "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
  mail += "Content-Type: text/html\r\n\r\nlost\r\n--b\r\n\r\nfound\r\n--b--\r\n";
  const MimeParts parts = parts_of(mail, 65536);
  EXPECT_FALSE(parts.html);
  EXPECT_EQ(parts.text, "lost\nfound");
}

TEST(Hostile, OneLineWithoutEnd) {
  const std::string mail = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--" +
                           std::string(3'000'000, '-');
  const MimeParts parts = parts_of(mail, 65536);
  ASSERT_TRUE(parts.text);
  EXPECT_EQ(parts.text->size(), static_cast<std::size_t>(kLimits.ticket_text));
  EXPECT_TRUE(parts.text_truncated);
}

TEST(Limits, TextIsCutAtACharacter) {
  base::Limits limits;
  limits.ticket_text = 6;
  const MimeParts parts = parts_of(
      "Content-Type: text/plain; charset=utf-8\r\n\r\nabc\xe2\x82\xac\xe2\x82\xac", 10, limits);
  EXPECT_EQ(parts.text, "abc\xe2\x82\xac");
  EXPECT_TRUE(parts.text_truncated);
  const json data = json::parse(whole_body(render_json(sample(), parts), ""))["data"];
  EXPECT_EQ(data["text_truncated"], true);
}

TEST(Charset, HostileNamesAreNotOpened) {
  for (const char* charset : {"UTF-16//IGNORE", "../../etc/passwd", "utf-8//TRANSLIT", "",
                              "unicode-1-1-utf-7", "\"", "x", "ISO-2022-JP-3", "IBM1364"}) {
    bool cut = false;
    const std::string text = to_readable("caf\xe9 \x1b$\x0e\x0f~{", charset, 1000, cut);
    EXPECT_TRUE(base::is_utf8(text)) << charset;
    EXPECT_FALSE(cut);
  }
}

}  // namespace
}  // namespace tickets
