// From a stored message to the body of an HTTP request: the walk over its parts, the document, the
// signature over what is sent.
#include <memory>

#include "operation.h"
#include "relayd/tickets/automated.h"
#include "relayd/tickets/ticket.h"
#include "relayd/tickets/webhook.h"
#include "tickets/support.h"

namespace bench {
namespace {

constexpr const char* kHeader =
    "Received: from mail.customer.example (192.0.2.1) by mail.acme.example with ESMTPS\r\n"
    "\tid 4f1; Sat, 31 Jan 2026 12:00:00 +0000\r\n"
    "From: Anna Schmidt <anna@customer.example>\r\nTo: support@acme.example\r\n"
    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_und_eine?= order\r\n"
    "Date: Sat, 31 Jan 2026 12:00:00 +0000\r\nMessage-ID: <1@customer.example>\r\n"
    "MIME-Version: 1.0\r\n";

std::string small_mail() {
  return std::string(kHeader) + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + lines(1024);
}

// Text, the same as HTML, and 64 KiB of a PDF in base64.
std::string mail_with_attachment() {
  const std::string alternative =
      "\r\n--outer\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n";
  std::string mail = std::string(kHeader) + "Content-Type: multipart/mixed; boundary=outer\r\n" +
                     alternative + "--inner\r\nContent-Type: text/plain; charset=utf-8\r\n" +
                     "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + lines(1024) +
                     "\r\n--inner\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<p>" +
                     lines(2048) + "</p>\r\n--inner--\r\n\r\n--outer\r\n" +
                     "Content-Type: application/pdf; name=\"order.pdf\"\r\n" +
                     "Content-Disposition: attachment; filename=\"order.pdf\"\r\n" +
                     "Content-Transfer-Encoding: base64\r\n\r\n";
  for (int line = 0; line < 64 * 1024 / 57; ++line) mail += std::string(76, 'Q') + "\r\n";
  return mail + "\r\n--outer--\r\n";
}

queue::Message message() {
  queue::Message message;
  message.tenant = "acme";
  message.domain = "acme.example";
  message.support_address = "support@acme.example";
  message.envelope.mail_from = "anna@customer.example";
  message.envelope.recipients.push_back({"support@acme.example", "", ""});
  message.helo = "mail.acme.example";
  message.remote_ip = "192.0.2.1";
  message.trust = "password";
  message.judgement =
      R"({"spf": {"result": "pass", "domain": "customer.example"}, "dkim": [{"result": "pass",)"
      R"( "domain": "customer.example", "selector": "s1", "algorithm": "rsa-sha256"}],)"
      R"( "dmarc": {"result": "pass", "policy": "reject"}, "arc": {"result": "none"},)"
      R"( "disposition": "accepted", "reasons": []})";
  message.arrival_ms = 1'769'860'800'000;
  return message;
}

tickets::MimeParts parts_of(const std::string& mail, const base::Limits& limits) {
  tickets::MimeWalk walk(limits);
  walk.feed(mail);
  return walk.finish();
}

Run walk(const std::string& mail) {
  return [mail, limits = base::Limits()] {
    require(parts_of(mail, limits).text.has_value(), "there is a text");
  };
}

Run render(const std::string& mail) {
  return [message = message(), parts = parts_of(mail, base::Limits())] {
    const std::string why = tickets::automated_reason(parts, message, {});
    require(!tickets::render_json(message, parts, why).head.empty(), "a document");
  };
}

// In pieces of 64 KiB, as it is signed and as it is sent.
Run read_base64(const std::string& mail) {
  const auto stored = std::make_shared<const tickets_test::MemoryReader>(mail);
  const auto body =
      std::make_shared<const tickets::Body>("{", stored, tickets::Body::Encoding::kBase64, "}");
  return [body, piece = std::string(64 << 10, ' ')]() mutable {
    std::uint64_t at = 0;
    while (const std::size_t count = body->read(at, piece).take()) at += count;
    require(at == body->size(), "all of it is read");
  };
}

Run sign() {
  return [body = lines(64 << 10)] {
    auto signer =
        tickets::WebhookSigner::begin({"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="},
                                      "msg_01HZ0000000000000000000000", 1'769'860'800)
            .take();
    signer.update(body);
    require(signer.finish().starts_with("v1,"), "a signature");
  };
}

}  // namespace

Operations ticket_operations() {
  const std::string small = small_mail();
  const std::string large = mail_with_attachment();
  const auto size = [](const std::string& mail) { return static_cast<std::int64_t>(mail.size()); };
  return {
      {"tickets/walk/small", [=] { return walk(small); }, size(small)},
      {"tickets/walk/attachment", [=] { return walk(large); }, size(large), 1, 10},
      {"tickets/json/small", [=] { return render(small); }},
      {"tickets/json/attachment", [=] { return render(large); }},
      {"tickets/body/base64/small", [=] { return read_base64(small); }, size(small)},
      {"tickets/body/base64/attachment", [=] { return read_base64(large); }, size(large), 1, 10},
      {"tickets/signature/64KiB", sign, 64 << 10}};
}

}  // namespace bench
