// One message of the client machine: envelope, content, replies.
#include <algorithm>
#include <string>
#include <utility>

#include "core/base/bytes.h"
#include "core/smtp/client_state.h"

namespace smtp {

using State = ClientMachine::State;
using Why = Finished::Why;

namespace {

constexpr std::size_t kChunkOctets = 64 * 1024;
constexpr std::size_t kCommandExpected = 150;
constexpr std::size_t kStuffingOctets = 64;  // room for dots and the end; more is not wrong

bool breaks_the_line(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// Why the message cannot be sent to this peer at all.
std::optional<Reply> obstacle(const mail::Envelope& envelope,
                              const std::vector<mail::Recipient>& recipients, std::uint64_t size,
                              const State::Offers& offers) {
  bool broken = breaks_the_line(envelope.mail_from) || breaks_the_line(envelope.envid) ||
                breaks_the_line(envelope.ret);
  bool needs_utf8 = envelope.smtputf8 || !base::is_ascii(envelope.mail_from);
  for (const mail::Recipient& recipient : recipients) {
    broken = broken || breaks_the_line(recipient.address) || breaks_the_line(recipient.notify) ||
             breaks_the_line(recipient.orcpt);
    needs_utf8 = needs_utf8 || !base::is_ascii(recipient.address);
  }
  if (broken) return Reply{553, "5.1.0", "an address or a parameter holds control characters"};
  if (needs_utf8 && !offers.smtputf8)
    return Reply{553, "5.6.7", "the message needs SMTPUTF8, which the next server does not offer"};
  if (envelope.body == mail::BodyType::k8BitMime && !offers.eight_bit)
    return Reply{554, "5.6.3", "the message needs 8BITMIME, which the next server does not offer"};
  if (offers.size_max > 0 && size > offers.size_max)
    return Reply{552, "5.3.4",
                 "the message has " + std::to_string(size) + " octets, the next server takes " +
                     std::to_string(offers.size_max)};
  return std::nullopt;
}

std::string mail_command(const mail::Envelope& envelope, std::uint64_t size, bool smtputf8,
                         const State::Offers& offers) {
  std::string line;
  line.reserve(kCommandExpected);
  line.append("MAIL FROM:<").append(envelope.mail_from).append(">");
  if (offers.size) line.append(" SIZE=").append(std::to_string(size));
  if (envelope.body == mail::BodyType::k8BitMime) line += " BODY=8BITMIME";
  if (smtputf8) line += " SMTPUTF8";
  if (offers.dsn && !envelope.ret.empty()) line.append(" RET=").append(envelope.ret);
  if (offers.dsn && !envelope.envid.empty()) line.append(" ENVID=").append(envelope.envid);
  return line;
}

std::string rcpt_command(const mail::Recipient& recipient, const State::Offers& offers) {
  std::string line;
  line.reserve(kCommandExpected);
  line.append("RCPT TO:<").append(recipient.address).append(">");
  if (offers.dsn && !recipient.notify.empty()) line.append(" NOTIFY=").append(recipient.notify);
  if (offers.dsn && !recipient.orcpt.empty()) line.append(" ORCPT=").append(recipient.orcpt);
  return line;
}

}  // namespace

// ---- The envelope -------------------------------------------------------------------------------

void State::send_message(const mail::Envelope& envelope,
                         const std::vector<mail::Recipient>& recipients, std::uint64_t size) {
  message = Message{};
  message->outcomes.resize(recipients.size());
  message->standing.resize(recipients.size(), Standing::kOpen);
  if (const auto reply = obstacle(envelope, recipients, size, offers);
      reply || recipients.empty()) {
    if (reply) decide(*reply, false, false);
    return message_done();
  }
  stage = Stage::kDialogue;
  // Chunks can only be sent one behind the other where replies need not be waited for.
  message->chunking = offers.chunking && offers.pipelining;
  message->pipelined = message->chunking && size <= options.pipelined_content;
  message->envelope_replies_left = 1 + recipients.size();
  if (message->pipelined) {  // all of it is said at once
    const std::size_t ahead = std::min<std::uint64_t>(size, kChunkOctets);
    message->chunk.reserve(ahead);
    out.reserve(out.size() + 2 * kCommandExpected + ahead);
  }
  const bool utf8_somewhere =
      !base::is_ascii(envelope.mail_from) ||
      std::any_of(recipients.begin(), recipients.end(),
                  [](const mail::Recipient& r) { return !base::is_ascii(r.address); });
  plan(mail_command(envelope, size, envelope.smtputf8 || utf8_somewhere, offers), Said::kMail);
  for (std::size_t i = 0; i < recipients.size(); ++i)
    plan(rcpt_command(recipients[i], offers), Said::kRcpt, i);
  if (!message->chunking) plan("DATA", Said::kData);
  pump();
  if (message->pipelined) stage = Stage::kContent;
}

void State::on_mail(const Expected&, Reply& reply) {
  if (!reply.positive()) {
    if (reply.code < 400) return protocol_error(reply, "the reply to MAIL makes no sense");
    decide(reply, false, false);
    message->failed = true;
    stage = Stage::kDialogue;
    planned.clear();
    message->envelope_replies_left =
        1 + static_cast<std::size_t>(
                std::count_if(expected.begin(), expected.end(),
                              [](const Expected& e) { return e.said == Said::kRcpt; }));
  }
  after_envelope_reply();
}

void State::on_rcpt(const Expected& now, Reply& reply) {
  if (reply.code >= 300 && reply.code < 400)
    return protocol_error(reply, "the reply to RCPT makes no sense");
  if (!message->failed) {
    message->standing[now.recipient] = reply.positive() ? Standing::kAccepted : Standing::kDecided;
    message->outcomes[now.recipient] = {reply, false};
  }
  after_envelope_reply();
}

void State::after_envelope_reply() {
  if (--message->envelope_replies_left > 0) return;
  const auto& standing = message->standing;
  if (std::find(standing.begin(), standing.end(), Standing::kAccepted) == standing.end()) {
    message->failed = true;
    planned.clear();
    stage = Stage::kDialogue;
    if (expected.empty()) rset();  // else DATA or BDAT was said already; its reply comes first
    return;
  }
  if (message->chunking && !message->pipelined) stage = Stage::kContent;
}

void State::on_data(const Expected&, Reply& reply) {
  if (reply.positive()) return protocol_error(reply, "the reply to DATA makes no sense");
  if (reply.code == 354) {
    if (!message->failed) {
      stage = Stage::kContent;
      return;
    }
    // RFC 2920 3.1: a server that wants content without any recipient gets an empty one.
    say(".", Said::kDataEnd);
    return;
  }
  if (reply.code < 400) return protocol_error(reply, "the reply to DATA makes no sense");
  decide(reply, false);
  rset();
}

// ---- Content ------------------------------------------------------------------------------------

// Only CRLF may go out: another server could take a bare CR or LF for the end of a line, and what
// follows for commands.
bool State::content_is_clean(std::string_view bytes) {
  char& last = message->last;
  unsigned char broken = (last == '\r') != (bytes.front() == '\n') ? 1 : 0;
  last = bytes.back();
  // One is a CR exactly where the next one is an LF. In blocks, for which the compiler has vectors.
  constexpr std::size_t kBlock = 64;
  const char* at = bytes.data();
  const char* const end = at + bytes.size() - 1;
  for (; end - at >= static_cast<std::ptrdiff_t>(kBlock); at += kBlock) {
    for (std::size_t i = 0; i < kBlock; ++i) {
      broken = static_cast<unsigned char>(broken | ((at[i] == '\r') != (at[i + 1] == '\n')));
    }
  }
  for (; at < end; ++at) {
    broken = static_cast<unsigned char>(broken | ((at[0] == '\r') != (at[1] == '\n')));
  }
  return broken == 0;
}

void State::content(std::string_view bytes) {
  if (bytes.empty()) return;
  if (!content_is_clean(bytes))
    return finish(
        Why::kProtocol, {},
        "a bare CR or LF in the stored message; the connection was dropped in the middle");
  if (!message->chunking) return write_stuffed(bytes);
  if (message->chunk.size() + bytes.size() >= kChunkOctets) return write_chunk(bytes, false);
  message->chunk += bytes;
}

void State::write_stuffed(std::string_view bytes) {
  out.reserve(out.size() + bytes.size() + kStuffingOctets);
  std::size_t start = 0;
  while (start < bytes.size()) {
    if (message->line_start && bytes[start] == '.') write(".");
    const std::size_t lf = bytes.find('\n', start);
    const std::size_t end = lf == std::string_view::npos ? bytes.size() : lf + 1;
    write(bytes.substr(start, end - start));
    message->line_start = lf != std::string_view::npos;
    start = end;
  }
}

void State::write_chunk(std::string_view more, bool last) {
  Message& m = *message;
  say("BDAT " + std::to_string(m.chunk.size() + more.size()) + (last ? " LAST" : ""),
      last ? Said::kLastChunk : Said::kChunk);
  write(m.chunk);
  write(more);
  m.chunk.clear();
}

void State::content_end() {
  Message& m = *message;
  if (m.last == '\r')
    return finish(Why::kProtocol, {},
                  "a bare CR at the end of the stored message; the connection was dropped");
  stage = Stage::kDialogue;
  m.content_out = true;
  if (m.chunking) return write_chunk({}, true);
  if (!m.line_start) write("\r\n");
  say(".", Said::kDataEnd);
}

// ---- Replies to content -------------------------------------------------------------------------

void State::on_data_end(const Expected&, Reply& reply) {
  if (reply.code >= 300 && reply.code < 400)
    return protocol_error(reply, "the reply to the end of the message makes no sense");
  decide(reply, true);
  if (message->failed || !reply.positive()) return rset();
  stage = Stage::kReady;
  message_done();
}

void State::on_chunk(const Expected&, Reply& reply) {
  Message& m = *message;
  if (reply.code >= 300 && reply.code < 400)
    return protocol_error(reply, "the reply to BDAT makes no sense");
  if (!reply.positive() && !m.failed) {
    // RFC 3030 section 2: no further chunk may be sent; the replies of those sent are no news.
    decide(reply, true);
    m.failed = true;
    stage = Stage::kDialogue;
  }
  if (m.failed && expected.empty()) rset();
}

void State::on_last_chunk(const Expected& now, Reply& reply) {
  if (message->failed) return on_chunk(now, reply);
  on_data_end(now, reply);
}

void State::on_rset(const Expected&, Reply& reply) {
  const bool good = reply.positive();
  if (!good) {
    message_done();
    const std::string text = "the server refused RSET: " + reply.str();
    return finish_politely(Why::kProtocol, std::move(reply), text);
  }
  stage = Stage::kReady;
  message_done();
}

// ---- Outcomes -----------------------------------------------------------------------------------

void State::decide(const Reply& reply, bool from_end_of_data, bool accepted_only) {
  for (std::size_t i = 0; i < message->outcomes.size(); ++i) {
    Standing& standing = message->standing[i];
    if (standing == Standing::kDecided || (accepted_only && standing == Standing::kOpen)) continue;
    standing = Standing::kDecided;
    message->outcomes[i] = {reply, from_end_of_data};
  }
}

void State::rset() {
  stage = Stage::kDialogue;
  say("RSET", Said::kRset);
}

void State::message_done() {
  done = MessageDone{std::move(message->outcomes)};
  message.reset();
}

}  // namespace smtp
