// The client machine talking to the server machine, in memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/smtp/client_machine.h"
#include "smtp/fixed_owner.h"

namespace smtp {
namespace {

struct Outgoing {
  mail::Envelope envelope;
  std::string content;
};

// Runs a whole session; bytes go across in pieces of at most `piece`.
class Session {
 public:
  Session(ClientOptions options, ServerOptions server_options, std::size_t piece,
          const base::Limits& limits = {})
      : piece_(piece),
        limits_(limits),
        client(std::move(options), limits_),
        server(std::move(server_options), limits_) {}

  void run(const std::vector<Outgoing>& messages) {
    std::size_t at = 0;
    for (int round = 0; round < 1'000'000; ++round) {
      const Action action = client.next();
      if (const auto* end = std::get_if<Finished>(&action)) {
        finished = *end;
        return;
      }
      if (std::holds_alternative<BeginTls>(action)) {
        ASSERT_TRUE(server.tls_wanted());
        server.tls_started();
        client.tls_started();
      } else if (std::holds_alternative<Ready>(action)) {
        if (at == messages.size()) {
          client.quit();
        } else {
          const Outgoing& message = messages[at++];
          client.send_message(message.envelope, message.envelope.recipients,
                              message.content.size());
          left_ = message.content;
        }
      } else if (std::holds_alternative<SendContent>(action)) {
        const std::string_view now = left_.substr(0, piece_);
        left_.remove_prefix(now.size());
        client.content(now);
        if (left_.empty()) client.content_end();
      } else if (const auto* message_done = std::get_if<MessageDone>(&action)) {
        done.push_back(*message_done);
      }
      exchange();
    }
    FAIL() << "the session does not end";
  }

 private:
  void exchange() {
    const std::string to_server = client.take_output();
    for (std::size_t i = 0; i < to_server.size() && !server.closed(); i += piece_)
      server.feed(std::string_view(to_server).substr(i, piece_));
    const std::string to_client = server.take_output();
    for (std::size_t i = 0; i < to_client.size(); i += piece_)
      client.feed(std::string_view(to_client).substr(i, piece_));
  }

  std::size_t piece_;
  base::Limits limits_;
  std::string_view left_;

 public:
  ClientMachine client;
  smtp_test::FixedOwner server;
  std::vector<MessageDone> done;
  std::optional<Finished> finished;
};

Outgoing message(std::string content,
                 std::vector<mail::Recipient> recipients = {{"support@acme.example", "", ""}}) {
  Outgoing out;
  out.envelope.mail_from = "user@client.example";
  out.envelope.recipients = std::move(recipients);
  out.content = std::move(content);
  return out;
}

class BothMachines : public testing::TestWithParam<std::size_t> {};

TEST_P(BothMachines, ManyMessagesOverStartTlsWithLogin) {
  ClientOptions options{.hostname = "client.example",
                        .tls = ClientTls::kStartTls,
                        .username = "acme.example",
                        .password = "secret"};
  ServerOptions server_options;
  server_options.hostname = "relay.example.net";
  server_options.starttls = true;
  server_options.auth_required = true;
  Session session(options, server_options, GetParam());

  std::vector<Outgoing> messages = {
      message("Subject: x\r\n\r\nbody\r\n"),
      message(""),
      message(".\r\n..\r\n...\r\n.\r\n"),
      message("no end of line"),
      message(std::string(200'000, 'x') + "\r\n"),
      message("\r\n\r\n"),
      message("x",
              {{"nobody@acme.example", "", ""}, {"sales@acme.example", "NEVER", "rfc822;a+2Bb"}}),
      message("x", {{"nobody@acme.example", "", ""}, {"busy@acme.example", "", ""}}),
      message("gr\xc3\xbc\xc3\x9f"
              "e \xff\r\n"),
  };
  messages[8].envelope.body = mail::BodyType::k8BitMime;
  messages[8].envelope.smtputf8 = true;
  messages[8].envelope.envid = "id";
  messages[8].envelope.ret = "HDRS";
  session.run(messages);

  ASSERT_TRUE(session.finished);
  EXPECT_EQ(session.finished->why, Finished::Why::kQuit) << session.finished->text;
  ASSERT_EQ(session.done.size(), messages.size());
  std::vector<std::string> sent;
  for (std::size_t i = 0; i < messages.size(); ++i)
    if (i != 7) sent.push_back(messages[i].content);
  std::vector<std::string> got;
  for (const auto& delivered : session.server.delivered()) got.push_back(delivered.content);
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(session.done[6].recipients[0].reply.code, 550);
  EXPECT_EQ(session.done[6].recipients[1].reply.code, 250);
  EXPECT_EQ(session.done[7].recipients[0].reply.code, 550);
  EXPECT_EQ(session.done[7].recipients[1].reply.code, 451);
  EXPECT_EQ(
      session.server.delivered()[6].envelope,
      "from=<user@client.example> SIZE=1 to=<sales@acme.example> NOTIFY=NEVER ORCPT=rfc822;a+2Bb");
  EXPECT_EQ(session.server.delivered().back().envelope,
            "from=<user@client.example> SIZE=11 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id "
            "to=<support@acme.example>");
}

TEST_P(BothMachines, ServerFindsTheMessageTooLarge) {
  base::Limits limits;
  limits.message_size = 100'000;
  Session session({.hostname = "c", .tls = ClientTls::kNone, .username = "", .password = ""}, {},
                  GetParam(), limits);
  // The size is announced, and refused by the client itself.
  session.run({message(std::string(200'000, 'x')), message("small\r\n")});
  ASSERT_EQ(session.done.size(), 2U);
  EXPECT_EQ(session.done[0].recipients[0].reply.enhanced, "5.3.4");
  EXPECT_EQ(session.done[1].recipients[0].reply.code, 250);
}

TEST_P(BothMachines, ServerRefusesAChunkAndTheNextMessagePasses) {
  base::Limits limits;
  limits.body_line = 70'000;
  Session session({.hostname = "c", .tls = ClientTls::kNone, .username = "", .password = ""}, {},
                  GetParam(), limits);
  session.run({message(std::string(300'000, 'x')), message("small\r\n")});
  ASSERT_EQ(session.done.size(), 2U);
  EXPECT_EQ(session.done[0].recipients[0].reply.str().substr(0, 9), "550 5.6.0");
  EXPECT_EQ(session.done[1].recipients[0].reply.code, 250);
  EXPECT_EQ(session.finished->why, Finished::Why::kQuit);
}

TEST_P(BothMachines, WrongPassword) {
  ServerOptions server_options;
  server_options.inside_tls = true;
  Session session({.hostname = "c",
                   .tls = ClientTls::kImplicit,
                   .username = "acme.example",
                   .password = "wrong"},
                  server_options, GetParam());
  session.run({});
  EXPECT_EQ(session.finished->why, Finished::Why::kAuthRejected);
  EXPECT_EQ(session.finished->reply.enhanced, "5.7.8");
}

INSTANTIATE_TEST_SUITE_P(Pieces, BothMachines, testing::Values(1, 3, 1000, 100'000));

}  // namespace
}  // namespace smtp
