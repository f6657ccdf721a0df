#include "core/smtp/client_machine.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/smtp/reply_reader.h"

namespace smtp {
namespace {

using Why = Finished::Why;

// A client machine and the conversation with it, written down by the test.
class Client {
 public:
  explicit Client(ClientOptions options = {.hostname = "relay.example.net",
                                           .tls = ClientTls::kNone,
                                           .username = "",
                                           .password = ""})
      : machine_(std::move(options), limits_) {}

  // The server says this; what the client says to it.
  std::string hears(std::string_view text) {
    said();  // what was said before is on its way
    machine_.feed(text);
    return machine_.take_output();
  }
  void send(std::vector<mail::Recipient> recipients, std::uint64_t size = 10) {
    machine_.send_message(envelope, recipients, size);
  }
  std::string said() { return machine_.take_output(); }
  template <typename A>
  A next() {
    Action action = machine_.next();
    if (!std::holds_alternative<A>(action)) {
      ADD_FAILURE() << "action number " << action.index();
      if (const auto* finished = std::get_if<Finished>(&action)) ADD_FAILURE() << finished->text;
      return {};
    }
    return std::get<A>(std::move(action));
  }
  // Greeting and EHLO with these keywords, then Ready.
  void ready(const std::string& keywords = "") {
    EXPECT_EQ(hears("220 mail.example ESMTP\r\n"), "EHLO relay.example.net\r\n");
    std::string reply = "250-mail.example\r\n";
    for (const char c : keywords) reply += c == ' ' ? "" : std::string(1, c);
    EXPECT_EQ(hears(reply + "250 ENHANCEDSTATUSCODES\r\n"), "");
    next<Ready>();
  }
  ClientMachine& operator*() { return machine_; }
  ClientMachine* operator->() { return &machine_; }

  mail::Envelope envelope{.mail_from = "a@b.example",
                          .body = mail::BodyType::k7Bit,
                          .smtputf8 = false,
                          .size_declared = 0,
                          .ret = "",
                          .envid = "",
                          .recipients = {}};

 private:
  base::Limits limits_;
  ClientMachine machine_;
};

const std::vector<mail::Recipient> kTwo = {{"c@d.example", "", ""}, {"e@f.example", "", ""}};
constexpr char kPipelining[] = "250-PIPELINING\r\n";
constexpr char kChunking[] = "250-PIPELINING\r\n250-CHUNKING\r\n";

ClientOptions login(ClientTls tls) {
  return {.hostname = "relay.example.net", .tls = tls, .username = "user", .password = "secret"};
}

// ---- From the greeting to Ready -----------------------------------------------------------------

TEST(ClientMachine, GreetsAfterAMultiLineGreeting) {
  Client c;
  c.next<NeedReply>();
  EXPECT_EQ(c->waiting(), ClientMachine::Waiting::kGreeting);
  EXPECT_EQ(c.hears("220-mail.example\r\n220-welcome\r\n"), "");
  EXPECT_EQ(c.hears("220 bye\r\n"), "EHLO relay.example.net\r\n");
  EXPECT_EQ(c->waiting(), ClientMachine::Waiting::kReply);
  c.hears("250 mail.example\r\n");
  c.next<Ready>();
  EXPECT_EQ(c->waiting(), ClientMachine::Waiting::kNothing);
  c->quit();
  EXPECT_EQ(c.said(), "QUIT\r\n");
  c.hears("221 bye\r\n");
  EXPECT_EQ(c.next<Finished>().why, Why::kQuit);
}

TEST(ClientMachine, GreetingRefused) {
  for (const std::string greeting : {"554 5.7.1 go away\r\n", "450 later\r\n"}) {
    Client c;
    EXPECT_EQ(c.hears(greeting), "QUIT\r\n");
    const auto finished = c.next<Finished>();
    EXPECT_EQ(finished.why, Why::kGreetingRefused);
    EXPECT_EQ(finished.reply.code, greeting[0] == '5' ? 554 : 450);
  }
  Client closing;
  closing.hears("421 busy\r\n");
  EXPECT_EQ(closing.next<Finished>().why, Why::kServiceClosing);
  Client odd;
  odd.hears("250 hello\r\n");
  EXPECT_EQ(odd.next<Finished>().why, Why::kProtocol);
}

TEST(ClientMachine, HeloOnlyWhereNothingIsLostByIt) {
  Client c;
  c.hears("220 old\r\n");
  EXPECT_EQ(c.hears("500 what\r\n"), "HELO relay.example.net\r\n");
  c.hears("250 old\r\n");
  c.next<Ready>();

  Client tls({.hostname = "h", .tls = ClientTls::kStartTls, .username = "", .password = ""});
  tls.hears("220 old\r\n");
  EXPECT_EQ(tls.hears("500 what\r\n"), "QUIT\r\n");
  EXPECT_EQ(tls.next<Finished>().why, Why::kGreetingRefused);

  Client later;
  later.hears("220 old\r\n");
  later.hears("450 later\r\n");
  EXPECT_EQ(later.next<Finished>().why, Why::kGreetingRefused);
}

TEST(ClientMachine, StartTlsThenPlain) {
  Client c(login(ClientTls::kStartTls));
  c.hears("220 m\r\n");
  EXPECT_EQ(c.hears("250-m\r\n250-AUTH LOGIN\r\n250 STARTTLS\r\n"), "STARTTLS\r\n");
  EXPECT_EQ(c.hears("220 go\r\n"), "");
  c.next<BeginTls>();
  c->tls_started();
  EXPECT_EQ(c.said(), "EHLO relay.example.net\r\n");
  EXPECT_EQ(c.hears("250-m\r\n250 AUTH LOGIN PLAIN\r\n"), "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n");
  c.hears("235 2.7.0 ok\r\n");
  c.next<Ready>();
}

TEST(ClientMachine, BytesBehindTheReplyToStartTls) {
  for (const bool at_once : {true, false}) {
    Client c(login(ClientTls::kStartTls));
    c.hears("220 m\r\n");
    c.hears("250-m\r\n250 STARTTLS\r\n");
    if (at_once) {
      c.hears("220 go\r\n250 injected\r\n");
    } else {
      c.hears("220 go\r\n");
      c.next<BeginTls>();
      c.hears("2");
    }
    EXPECT_EQ(c.next<Finished>().why, Why::kProtocol);
  }
}

TEST(ClientMachine, TlsIsRequiredAndNotTakenFromBeforeTls) {
  Client missing(login(ClientTls::kStartTls));
  missing.hears("220 m\r\n");
  EXPECT_EQ(missing.hears("250-m\r\n250 AUTH PLAIN\r\n"), "QUIT\r\n");
  EXPECT_EQ(missing.next<Finished>().why, Why::kTlsNotOffered);

  Client refused(login(ClientTls::kStartTls));
  refused.hears("220 m\r\n");
  refused.hears("250-m\r\n250 STARTTLS\r\n");
  refused.hears("454 4.7.0 no\r\n");
  EXPECT_EQ(refused.next<Finished>().why, Why::kTlsRefused);
  EXPECT_EQ(refused.next<Finished>().reply.enhanced, "4.7.0");

  // What was offered before TLS is forgotten.
  Client stripped(login(ClientTls::kStartTls));
  stripped.hears("220 m\r\n");
  stripped.hears("250-m\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n");
  stripped.hears("220 go\r\n");
  stripped->tls_started();
  stripped.hears("250 m\r\n");
  EXPECT_EQ(stripped.next<Finished>().why, Why::kAuthNotOffered);
}

TEST(ClientMachine, NoPasswordWithoutTls) {
  Client c(login(ClientTls::kNone));
  c.hears("220 m\r\n");
  EXPECT_EQ(c.hears("250-m\r\n250 AUTH PLAIN\r\n"), "QUIT\r\n");
  EXPECT_EQ(c.next<Finished>().why, Why::kAuthNotOffered);

  ClientOptions allowed = login(ClientTls::kNone);
  allowed.allow_auth_in_plaintext = true;
  Client loopback(allowed);
  loopback.hears("220 m\r\n");
  EXPECT_EQ(loopback.hears("250-m\r\n250 AUTH=PLAIN\r\n"), "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n");
}

TEST(ClientMachine, AuthLogin) {
  Client c(login(ClientTls::kImplicit));
  c.hears("220 m\r\n");
  EXPECT_EQ(c.hears("250-m\r\n250 AUTH CRAM-MD5 LOGIN\r\n"), "AUTH LOGIN\r\n");
  EXPECT_EQ(c.hears("334 VXNlcm5hbWU6\r\n"), "dXNlcg==\r\n");
  EXPECT_EQ(c.hears("334 UGFzc3dvcmQ6\r\n"), "c2VjcmV0\r\n");
  c.hears("235 ok\r\n");
  c.next<Ready>();
}

TEST(ClientMachine, AuthFailures) {
  const auto outcome = [](std::string_view reply) {
    Client c(login(ClientTls::kImplicit));
    c.hears("220 m\r\n");
    c.hears("250-m\r\n250 AUTH PLAIN\r\n");
    c.hears(reply);
    return c.next<Finished>().why;
  };
  EXPECT_EQ(outcome("535 5.7.8 wrong\r\n"), Why::kAuthRejected);
  EXPECT_EQ(outcome("454 4.7.0 later\r\n"), Why::kAuthTemporary);
  EXPECT_EQ(outcome("421 4.7.0 bye\r\n"), Why::kServiceClosing);
  EXPECT_EQ(outcome("354 what\r\n"), Why::kProtocol);
}

TEST(ClientMachine, AuthPlainAskedAgainAndLongCredentials) {
  Client again(login(ClientTls::kImplicit));
  again.hears("220 m\r\n");
  again.hears("250-m\r\n250 AUTH PLAIN\r\n");
  EXPECT_EQ(again.hears("334 \r\n"), "AHVzZXIAc2VjcmV0\r\n");
  EXPECT_EQ(again.hears("334 \r\n"), "");
  EXPECT_EQ(again.next<Finished>().why, Why::kProtocol);

  ClientOptions options = login(ClientTls::kImplicit);
  options.password = std::string(400, 'p');
  Client prompt(options);
  prompt.hears("220 m\r\n");
  EXPECT_EQ(prompt.hears("250-m\r\n250 AUTH PLAIN\r\n"), "AUTH PLAIN\r\n");
  EXPECT_GT(prompt.hears("334 \r\n").size(), 500U);
  prompt.hears("235 ok\r\n");
  prompt.next<Ready>();
}

// ---- One message --------------------------------------------------------------------------------

TEST(ClientMachine, DataWithoutPipelining) {
  Client c;
  c.ready();
  c.send(kTwo);
  EXPECT_EQ(c.said(), "MAIL FROM:<a@b.example>\r\n");
  EXPECT_EQ(c.hears("250 2.1.0 ok\r\n"), "RCPT TO:<c@d.example>\r\n");
  EXPECT_EQ(c.hears("250 2.1.5 ok\r\n"), "RCPT TO:<e@f.example>\r\n");
  EXPECT_EQ(c.hears("550 5.1.1 no\r\n"), "DATA\r\n");
  EXPECT_EQ(c->waiting(), ClientMachine::Waiting::kDataReply);
  c.hears("354 go\r\n");
  EXPECT_FALSE(c.next<SendContent>().chunking);
  c->content("Subject: x\r\n\r\n.dot\r\n");
  c->content("..");
  c->content("\r");
  c->content("\n.");
  c.next<SendContent>();
  c->content_end();
  EXPECT_EQ(c.said(), "Subject: x\r\n\r\n..dot\r\n...\r\n..\r\n.\r\n");
  EXPECT_EQ(c->waiting(), ClientMachine::Waiting::kDataEnd);
  c.hears("250 2.0.0 queued\r\n");
  const auto done = c.next<MessageDone>();
  ASSERT_EQ(done.recipients.size(), 2U);
  EXPECT_EQ(done.recipients[0].reply.str(), "250 2.0.0 queued");
  EXPECT_TRUE(done.recipients[0].from_end_of_data);
  EXPECT_EQ(done.recipients[1].reply.str(), "550 5.1.1 no");
  EXPECT_FALSE(done.recipients[1].from_end_of_data);
  c.next<Ready>();
}

TEST(ClientMachine, EmptyContent) {
  Client c;
  c.ready(kPipelining);
  c.send({kTwo[0]}, 0);
  EXPECT_EQ(c.said(), "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
  c.hears("250 ok\r\n250 ok\r\n354 go\r\n");
  c.next<SendContent>();
  c->content_end();
  EXPECT_EQ(c.said(), ".\r\n");
}

TEST(ClientMachine, ParametersOnlyWhereOffered) {
  Client with;
  with.ready("250-SIZE1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-PIPELINING\r\n");
  with.envelope.body = mail::BodyType::k8BitMime;
  with.envelope.smtputf8 = true;
  with.envelope.ret = "HDRS";
  with.envelope.envid = "x+2B";
  const std::vector<mail::Recipient> one = {{"c@d.example", "FAILURE,DELAY", "rfc822;o@p.example"}};
  with.send(one);
  EXPECT_EQ(with.said(),
            "MAIL FROM:<a@b.example> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2B\r\n"
            "RCPT TO:<c@d.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;o@p.example\r\nDATA\r\n");

  Client without;
  without.ready(kPipelining);
  without.envelope.ret = "HDRS";
  without.envelope.envid = "x";
  without.send(one);
  EXPECT_EQ(without.said(), "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
}

TEST(ClientMachine, SizeIsSaid) {
  Client c;
  c.hears("220 m\r\n");
  c.hears("250-m\r\n250 SIZE 1000\r\n");
  c.send({kTwo[0]}, 1000);
  EXPECT_EQ(c.said(), "MAIL FROM:<a@b.example> SIZE=1000\r\n");
}

TEST(ClientMachine, NeedsThatThePeerLacks) {
  const auto outcome = [](const std::string& keywords, const auto& change, std::uint64_t size) {
    Client c;
    c.hears("220 m\r\n");
    c.hears("250-m\r\n250 " + keywords + "\r\n");
    std::vector<mail::Recipient> recipients = kTwo;
    change(c.envelope, recipients);
    c.send(recipients, size);
    EXPECT_EQ(c.said(), "");
    const auto done = c.next<MessageDone>();
    c.next<Ready>();
    EXPECT_EQ(done.recipients.size(), 2U);
    EXPECT_TRUE(done.recipients.back().reply.permanent());
    return done.recipients.back().reply.enhanced;
  };
  EXPECT_EQ(outcome(
                "DSN", [](auto& e, auto&) { e.smtputf8 = true; }, 1),
            "5.6.7");
  EXPECT_EQ(outcome(
                "DSN", [](auto&, auto& r) { r[1].address = "\xc3\xbc@x.example"; }, 1),
            "5.6.7");
  EXPECT_EQ(outcome(
                "DSN", [](auto& e, auto&) { e.body = mail::BodyType::k8BitMime; }, 1),
            "5.6.3");
  EXPECT_EQ(outcome(
                "SIZE 1000", [](auto&, auto&) {}, 1001),
            "5.3.4");
  EXPECT_EQ(outcome(
                "DSN", [](auto&, auto& r) { r[0].address = "a\r\nRSET@x"; }, 1),
            "5.1.0");
}

TEST(ClientMachine, AllRecipientsRefusedSendsNoContent) {
  Client slow;
  slow.ready();
  slow.send(kTwo);
  slow.hears("250 ok\r\n");
  slow.hears("550 5.1.1 no\r\n");
  EXPECT_EQ(slow.hears("451 4.2.1 busy\r\n"), "RSET\r\n");
  slow.next<NeedReply>();
  slow.hears("250 ok\r\n");
  const auto done = slow.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.code, 550);
  EXPECT_EQ(done.recipients[1].reply.code, 451);
  slow.next<Ready>();

  // Pipelined, DATA is said already: refused, or (RFC 2920 3.1) given nothing but a dot.
  for (const bool wants_content : {false, true}) {
    Client c;
    c.ready(kPipelining);
    c.send(kTwo);
    EXPECT_EQ(c.hears("250 ok\r\n550 no\r\n550 no\r\n"), "");
    if (wants_content) {
      EXPECT_EQ(c.hears("354 go\r\n"), ".\r\n");
      EXPECT_EQ(c.hears("554 no recipients\r\n"), "RSET\r\n");
    } else {
      EXPECT_EQ(c.hears("554 5.5.1 no recipients\r\n"), "RSET\r\n");
    }
    c.hears("250 ok\r\n");
    EXPECT_EQ(c.next<MessageDone>().recipients[1].reply.str(), "550 no");
    c.next<Ready>();
  }
}

TEST(ClientMachine, MailRefused) {
  Client slow;
  slow.ready();
  slow.send(kTwo);
  EXPECT_EQ(slow.hears("452 4.3.1 full\r\n"), "RSET\r\n");
  slow.hears("250 ok\r\n");
  EXPECT_EQ(slow.next<MessageDone>().recipients[1].reply.str(), "452 4.3.1 full");

  Client c;
  c.ready(kPipelining);
  c.send(kTwo);
  EXPECT_EQ(c.hears("550 5.7.1 no\r\n503 x\r\n503 x\r\n503 x\r\n"), "RSET\r\n");
  c.hears("250 ok\r\n");
  const auto done = c.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.str(), "550 5.7.1 no");
  EXPECT_EQ(done.recipients[1].reply.str(), "550 5.7.1 no");
  c.next<Ready>();
}

TEST(ClientMachine, DataRefused) {
  Client c;
  c.ready(kPipelining);
  c.send(kTwo);
  EXPECT_EQ(c.hears("250 ok\r\n250 ok\r\n550 no\r\n451 4.3.0 not now\r\n"), "RSET\r\n");
  c.hears("250 ok\r\n");
  const auto done = c.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.code, 451);
  EXPECT_EQ(done.recipients[1].reply.code, 550);
}

TEST(ClientMachine, RefusedAfterTheDot) {
  Client c;
  c.ready(kPipelining);
  c.send({kTwo[0]});
  c.hears("250 ok\r\n250 ok\r\n354 go\r\n");
  c->content("x\r\n");
  c->content_end();
  EXPECT_EQ(c.hears("451 4.3.0 later\r\n"), "RSET\r\n");
  c.hears("250 ok\r\n");
  const auto done = c.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.code, 451);
  EXPECT_TRUE(done.recipients[0].from_end_of_data);
  c.next<Ready>();
}

TEST(ClientMachine, RsetRefusedFinishes) {
  Client c;
  c.ready();
  c.send({kTwo[0]});
  c.hears("550 no\r\n");
  c.hears("500 what\r\n");
  EXPECT_EQ(c.next<MessageDone>().recipients[0].reply.code, 550);
  EXPECT_EQ(c.next<Finished>().why, Why::kProtocol);
}

// ---- Chunks -------------------------------------------------------------------------------------

TEST(ClientMachine, Chunks) {
  Client c;
  c.ready(kChunking);
  c.send({kTwo[0]});
  EXPECT_EQ(c.said(), "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n");
  c.hears("250 ok\r\n250 ok\r\n");
  EXPECT_TRUE(c.next<SendContent>().chunking);
  const std::string line = std::string(998, 'x') + "\r\n";
  std::string all;
  for (int i = 0; i < 70; ++i) {
    c->content(line);
    all += line;
  }
  c->content(".\r\nno end");
  all += ".\r\nno end";
  c->content_end();
  const std::string said = c.said();
  const std::string want =
      "BDAT 66000\r\n" + all.substr(0, 66000) + "BDAT 4009 LAST\r\n" + all.substr(66000);
  EXPECT_TRUE(said == want) << said.substr(0, 20);
  EXPECT_EQ(c.hears("250 2.0.0 chunk\r\n"), "");
  EXPECT_EQ(c->waiting(), ClientMachine::Waiting::kDataEnd);
  c.hears("250 2.0.0 queued\r\n");
  EXPECT_EQ(c.next<MessageDone>().recipients[0].reply.str(), "250 2.0.0 queued");
  c.next<Ready>();
}

// ---- Content along with the envelope (RFC 3030 section 4.2) -------------------------------------

const ClientOptions kEager{.hostname = "relay.example.net",
                           .tls = ClientTls::kNone,
                           .username = "",
                           .password = "",
                           .pipelined_content = 100'000};

TEST(ClientMachine, ContentGoesAlongWithTheEnvelope) {
  Client c(kEager);
  c.ready(kChunking);
  c.send({kTwo[0], kTwo[1]}, 3);
  EXPECT_TRUE(c.next<SendContent>().chunking);
  c->content("x\r\n");
  c->content_end();
  c.next<NeedReply>();
  EXPECT_EQ(c.said(),
            "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\n"
            "BDAT 3 LAST\r\nx\r\n");
  EXPECT_EQ(c.hears("250 ok\r\n550 5.1.1 no\r\n250 ok\r\n"), "");
  EXPECT_EQ(c->waiting(), ClientMachine::Waiting::kDataEnd);
  EXPECT_EQ(c.hears("250 2.0.0 queued\r\n"), "");
  const auto done = c.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.str(), "550 5.1.1 no");
  EXPECT_FALSE(done.recipients[0].from_end_of_data);
  EXPECT_EQ(done.recipients[1].reply.str(), "250 2.0.0 queued");
  c.next<Ready>();
}

TEST(ClientMachine, ContentThatIsLargeOrCannotBeGroupedWaits) {
  for (const auto& [keywords, size] :
       {std::pair<std::string, std::uint64_t>{kChunking, 100'001}, {"250-CHUNKING\r\n", 3}}) {
    Client c(kEager);
    c.ready(keywords);
    c.send({kTwo[0]}, size);
    c.next<NeedReply>();
  }
}

// The reply to the content comes whatever was refused before it, and only then RSET may follow.
TEST(ClientMachine, ContentWentAlongAndNobodyWantsIt) {
  for (const bool mail_too : {true, false}) {
    Client c(kEager);
    c.ready(kChunking);
    c.send({kTwo[0]}, 3);
    c.next<SendContent>();
    c->content("x\r\n");
    c->content_end();
    c.said();
    EXPECT_EQ(c.hears(mail_too ? "451 4.7.1 greylisted\r\n" : "250 ok\r\n"), "");
    EXPECT_EQ(c.hears(mail_too ? "503 5.5.1 no\r\n" : "451 4.7.1 greylisted\r\n"), "");
    c.next<NeedReply>();
    EXPECT_EQ(c.hears("503 5.5.1 no recipients\r\n"), "RSET\r\n");
    c.hears("250 ok\r\n");
    const auto done = c.next<MessageDone>();
    EXPECT_EQ(done.recipients[0].reply.str(), "451 4.7.1 greylisted");
    EXPECT_FALSE(done.recipients[0].from_end_of_data);
    c.next<Ready>();
  }
}

TEST(ClientMachine, EnvelopeRefusedWhileItsContentIsOnTheWay) {
  Client c(kEager);
  c.ready(kChunking);
  c.send({kTwo[0]}, 70'000);
  const std::string chunk(65536, 'x');
  c.next<SendContent>();
  c->content(chunk);
  EXPECT_EQ(c.hears("250 ok\r\n550 5.1.1 no\r\n"), "");
  c.next<NeedReply>();
  c->content("no longer wanted\r\n");
  c->content_end();
  EXPECT_EQ(c.hears("503 5.5.1 no recipients\r\n"), "RSET\r\n");
  c.hears("250 ok\r\n");
  EXPECT_EQ(c.next<MessageDone>().recipients[0].reply.str(), "550 5.1.1 no");
}

TEST(ClientMachine, EnvelopeRefusedBeforeAnyContentWasGiven) {
  Client c(kEager);
  c.ready(kChunking);
  c.send({kTwo[0]}, 3);
  c.next<SendContent>();
  EXPECT_EQ(c.hears("550 5.7.1 no\r\n"), "");
  EXPECT_EQ(c.hears("503 5.5.1 no\r\n"), "RSET\r\n");
  c.hears("250 ok\r\n");
  EXPECT_EQ(c.next<MessageDone>().recipients[0].reply.str(), "550 5.7.1 no");
  c.next<Ready>();
}

TEST(ClientMachine, ContentWentAlongAndTheConnectionIsLost) {
  Client c(kEager);
  c.ready(kChunking);
  c.send({kTwo[0]}, 3);
  c->content("x\r\n");
  c->content_end();
  c.said();
  c->closed("reset by peer");
  const auto done = c.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.code, 451);
  EXPECT_NE(done.recipients[0].reply.text.find("may arrive twice"), std::string::npos);
}

TEST(ClientMachine, EmptyChunk) {
  Client c;
  c.ready(kChunking);
  c.send({kTwo[0]}, 0);
  c.hears("250 ok\r\n250 ok\r\n");
  c.next<SendContent>();
  c->content_end();
  EXPECT_EQ(c.said(), "BDAT 0 LAST\r\n");
}

TEST(ClientMachine, ChunkRefusedInTheMiddle) {
  Client c;
  c.ready(kChunking);
  c.send({kTwo[0]});
  c.hears("250 ok\r\n250 ok\r\n");
  const std::string chunk(65536, 'x');
  c->content(chunk);
  c->content(chunk);
  EXPECT_EQ(c.hears("552 5.3.4 too big\r\n"), "");
  c.next<NeedReply>();
  c->content(chunk);  // no longer wanted
  c->content_end();
  EXPECT_EQ(c.hears("503 5.5.1 refused before\r\n"), "RSET\r\n");
  c.hears("250 ok\r\n");
  const auto done = c.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.str(), "552 5.3.4 too big");
  c.next<Ready>();
}

TEST(ClientMachine, LastChunkRefused) {
  Client c;
  c.ready(kChunking);
  c.send({kTwo[0]});
  c.hears("250 ok\r\n250 ok\r\n");
  c->content("x\r\n");
  c->content_end();
  EXPECT_EQ(c.hears("554 5.6.0 no\r\n"), "RSET\r\n");
  c.hears("250 ok\r\n");
  EXPECT_EQ(c.next<MessageDone>().recipients[0].reply.code, 554);
}

TEST(ClientMachine, ChunkingWithoutPipeliningIsNotUsed) {
  Client c;
  c.ready("250-CHUNKING\r\n");
  c.send({kTwo[0]});
  c.hears("250 ok\r\n");
  EXPECT_EQ(c.hears("250 ok\r\n"), "DATA\r\n");
}

// ---- What must never go out ---------------------------------------------------------------------

TEST(ClientMachine, BareCrAndLfNeverGoOut) {
  const std::vector<std::vector<std::string>> bad = {
      {"a\nb\r\n"}, {"a\rb\r\n"}, {"a\r", "b"}, {"a", "\n"},     {"\n"},
      {"a\r"},      {"a\r\n.\n"}, {"a\r\r\n"},  {"a\r\n", "\n"}, {"\r", "\r\n"}};
  for (const char* keywords : {kPipelining, kChunking}) {
    for (const auto& pieces : bad) {
      Client c;
      c.ready(keywords);
      c.send({kTwo[0]});
      c.hears(std::string("250 ok\r\n250 ok\r\n") + (keywords == kPipelining ? "354 go\r\n" : ""));
      for (const std::string& piece : pieces) c->content(piece);
      c->content_end();
      EXPECT_EQ(c.said(), "");
      const auto done = c.next<MessageDone>();
      EXPECT_TRUE(done.recipients[0].reply.temporary());
      EXPECT_NE(done.recipients[0].reply.text.find("bare CR"), std::string::npos);
      EXPECT_EQ(c.next<Finished>().why, Why::kProtocol);
    }
  }
}

// At every place of a content longer than what is looked at in one go.
TEST(ClientMachine, BareCrAndLfAreFoundWhereverTheyAre) {
  const std::string clean = [] {
    std::string lines;
    while (lines.size() < 300) lines += std::string(lines.size() % 67, 'x') + "\r\n";
    return lines;
  }();
  const auto is_refused = [](const std::string& content) {
    Client c;
    c.ready(kChunking);
    c.send({kTwo[0]});
    c.hears("250 ok\r\n250 ok\r\n");
    c->content(content);
    c->content_end();
    return c.said().empty();
  };
  EXPECT_FALSE(is_refused(clean));
  for (std::size_t at = 0; at < clean.size(); ++at) {
    for (const char octet : {'\r', '\n', 'x'}) {
      if (clean[at] == octet) continue;
      std::string content = clean;
      content[at] = octet;
      const bool is_broken = octet != 'x' || clean[at] != 'x';
      EXPECT_EQ(is_refused(content), is_broken) << at << ": " << static_cast<int>(octet);
    }
  }
}

// ---- Trouble ------------------------------------------------------------------------------------

TEST(ClientMachine, ServiceClosingAnywhere) {
  Client c;
  c.ready(kPipelining);
  c.send(kTwo);
  c.hears("250 ok\r\n550 5.1.1 no\r\n421 4.3.2 bye\r\n");
  const auto done = c.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.str(), "550 5.1.1 no");
  EXPECT_EQ(done.recipients[1].reply.str(), "421 4.3.2 bye");
  const auto finished = c.next<Finished>();
  EXPECT_EQ(finished.why, Why::kServiceClosing);
  EXPECT_EQ(finished.reply.code, 421);

  Client idle;
  idle.ready();
  idle.hears("421 4.4.2 idle too long\r\n");
  EXPECT_EQ(idle.next<Finished>().why, Why::kServiceClosing);
}

TEST(ClientMachine, ConnectionLost) {
  Client before;
  before.ready(kPipelining);
  before.send(kTwo);
  before.hears("250 ok\r\n550 5.1.1 no\r\n");
  before->closed("reset by peer");
  auto done = before.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.code, 550);
  EXPECT_EQ(done.recipients[1].reply.code, 451);
  EXPECT_EQ(done.recipients[1].reply.text.find("twice"), std::string::npos);
  EXPECT_EQ(before.next<Finished>().why, Why::kConnectionLost);

  Client after;
  after.ready(kPipelining);
  after.send({kTwo[0]});
  after.hears("250 ok\r\n250 ok\r\n354 go\r\n");
  after->content("x\r\n");
  after->content_end();
  after->closed("reset by peer");
  done = after.next<MessageDone>();
  EXPECT_TRUE(done.recipients[0].reply.temporary());
  EXPECT_NE(done.recipients[0].reply.text.find("twice"), std::string::npos);

  Client quitting;
  quitting.ready();
  quitting->quit();
  quitting->closed("end of file");
  EXPECT_EQ(quitting.next<Finished>().why, Why::kQuit);
}

TEST(ClientMachine, ProtocolErrors) {
  const auto text = [](std::string_view bytes) {
    Client c;
    c.ready();
    c.send({kTwo[0]});
    c.hears(bytes);
    EXPECT_TRUE(c.next<MessageDone>().recipients[0].reply.temporary());
    const auto finished = c.next<Finished>();
    EXPECT_EQ(finished.why, Why::kProtocol);
    return finished.text;
  };
  EXPECT_EQ(text("250-a\r\n550 b\r\n"), "the lines of one reply have the codes 250 and 550");
  EXPECT_EQ(text("hello\r\n"), "no reply code in the line \"hello\"");
  EXPECT_EQ(text("25 ok\r\n"), "no reply code in the line \"25 ok\"");
  EXPECT_EQ(text("250ok\r\n"), "no reply code in the line \"250ok\"");
  EXPECT_EQ(text("999 ok\r\n"), "no reply code in the line \"999 ok\"");
  EXPECT_EQ(text("250 ok\n"), "a reply line ends in LF without CR");
  EXPECT_EQ(text("354 go\r\n"), "the reply to MAIL makes no sense: 354 go");
  EXPECT_EQ(text("250 " + std::string(5000, 'x')), "a reply line is longer than 4096 octets");
  std::string many;
  for (int i = 0; i < 200; ++i) many += "250-x\r\n";
  EXPECT_EQ(text(many), "a reply has more than 128 lines");
}

TEST(ClientMachine, RepliesBeforeTheyAreDue) {
  Client idle;
  idle.ready();
  idle.hears("250 what\r\n");
  EXPECT_EQ(idle.next<Finished>().why, Why::kProtocol);

  // The reply to EHLO comes with the greeting: EHLO was not even written.
  Client early;
  early.hears("220 m\r\n250 m\r\n");
  EXPECT_EQ(early.next<Finished>().why, Why::kProtocol);

  // A reply in the middle of the content.
  Client middle;
  middle.ready(kPipelining);
  middle.send({kTwo[0]});
  middle.hears("250 ok\r\n250 ok\r\n354 go\r\n");
  middle->content("x\r\n");
  middle.hears("250 queued\r\n");
  EXPECT_TRUE(middle.next<MessageDone>().recipients[0].reply.temporary());
  EXPECT_EQ(middle.next<Finished>().why, Why::kProtocol);
}

// ---- Enhanced codes -----------------------------------------------------------------------------

Reply enhanced(int code, std::string text) {
  Reply reply{code, "", std::move(text)};
  take_enhanced_code(reply);
  return reply;
}

TEST(EnhancedCode, IsTakenOutOfTheText) {
  EXPECT_EQ(enhanced(250, "2.1.0 ok").enhanced, "2.1.0");
  EXPECT_EQ(enhanced(250, "2.1.0 ok").text, "ok");
  EXPECT_EQ(enhanced(550, "5.7.509 a\n5.7.509 b\n5.7.509").text, "a\nb\n");
  EXPECT_EQ(enhanced(250, "2.0.0").text, "");
  EXPECT_EQ(enhanced(550, "5.1.1 a\n5.1.2 b").text, "a\n5.1.2 b");
}

TEST(EnhancedCode, OthersStayText) {
  for (const auto& [code, text] : std::vector<std::pair<int, std::string>>{{550, "2.1.0 ok"},
                                                                           {250, "5.1.1 no"},
                                                                           {354, "3.0.0 x"},
                                                                           {250, "2.1 x"},
                                                                           {250, "2.1.x y"},
                                                                           {250, "2.1.0x"},
                                                                           {250, "2.1000.0 x"},
                                                                           {250, "2..0 x"},
                                                                           {250, ""},
                                                                           {250, "2.1."}}) {
    EXPECT_EQ(enhanced(code, text).enhanced, "") << text;
    EXPECT_EQ(enhanced(code, text).text, text);
  }
}

TEST(EnhancedCode, NothingIsKeptFromTheReplyBefore) {
  Client c;
  c.ready(kPipelining);
  c.send(kTwo);
  c.hears("250 2.1.0 ok\r\n550 5.1.1 no\r\n550 no code here\r\n554 5.5.1 none\r\n");
  c.hears("250 2.0.0 ok\r\n");
  const auto done = c.next<MessageDone>();
  EXPECT_EQ(done.recipients[0].reply.enhanced, "5.1.1");
  EXPECT_EQ(done.recipients[1].reply.enhanced, "");
}

TEST(ReplyReader, HostileTextIsMadePrintable) {
  ReplyReader reader(100, 10);
  const std::string line("250 a\x01\x1b[31m\xff\x00z\r\n", 16);
  ASSERT_EQ(reader.read(line).state, ReplyReader::State::kReply);
  EXPECT_EQ(reader.take().text, "a??[31m\xef\xbf\xbd?z");
}

TEST(ReplyReader, OctetByOctet) {
  ReplyReader reader(100, 10);
  std::string input = "250-a\r\n250-\r\n250\r\n";
  for (std::size_t i = 0; i < input.size(); ++i)
    ASSERT_EQ(reader.read(std::string_view(input).substr(i, 1)).state,
              i + 1 == input.size() ? ReplyReader::State::kReply : ReplyReader::State::kMore);
  EXPECT_EQ(reader.take().text, "a\n\n");
}

TEST(Reply, WireAndLine) {
  const Reply reply{550, "5.1.1", "first\nlast"};
  EXPECT_EQ(reply.wire(), "550-5.1.1 first\r\n550 5.1.1 last\r\n");
  EXPECT_EQ(reply.str(), "550 5.1.1 first last");
  EXPECT_EQ((Reply{334, "", ""}).wire(), "334 \r\n");
  EXPECT_EQ((Reply{250, "", "x"}).wire(), "250 x\r\n");
}

}  // namespace
}  // namespace smtp
