// What the dialogue scripts cannot show: the contract with the owner.
#include "core/smtp/server_machine.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "smtp/fixed_owner.h"

namespace smtp {
namespace {

class Machine {
 public:
  struct Features {
    bool starttls = false, inside_tls = false, auth_in_plaintext = false;
  };
  Machine() : Machine(Features{false, false, false}) {}
  explicit Machine(const Features& features) : machine_(options(features), limits_) {
    machine_.greet();
    said();
  }
  // The first event of `text`; the bytes it left are given to the next call.
  Event next(std::string_view text = {}) {
    pending_ += text;
    kept_ = pending_;
    const Step step = machine_.next(kept_);
    pending_.erase(0, step.used);
    return step.event;
  }
  template <typename E>
  ::testing::AssertionResult gives(std::string_view text = {}) {
    const Event event = next(text);
    if (std::holds_alternative<E>(event)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "event number " << event.index();
  }
  std::string said() { return machine_.take_output(); }
  ServerMachine& operator*() { return machine_; }
  ServerMachine* operator->() { return &machine_; }
  [[nodiscard]] const std::string& left() const { return pending_; }

  void start_content() {
    ASSERT_TRUE(gives<Hello>("EHLO c\r\n"));
    ASSERT_TRUE(gives<Mail>("MAIL FROM:<a@b.example>\r\n"));
    machine_.answer({250, "2.1.0", "ok"});
    ASSERT_TRUE(gives<Rcpt>("RCPT TO:<c@d.example>\r\n"));
    machine_.answer({250, "2.1.5", "ok"});
    ASSERT_TRUE(gives<DataStart>("DATA\r\n"));
    machine_.answer({250, "2.0.0", "ok"});
    said();
  }

 private:
  static ServerOptions options(const Features& features) {
    ServerOptions options;
    options.hostname = "relay.example.net";
    options.starttls = features.starttls;
    options.inside_tls = features.inside_tls;
    options.auth_in_plaintext = features.auth_in_plaintext;
    return options;
  }
  base::Limits limits_;
  ServerMachine machine_;
  std::string pending_;
  std::string kept_;
};

TEST(ServerMachine, RefusesAtTheGreeting) {
  const base::Limits limits;
  ServerMachine machine({}, limits);
  machine.refuse({421, "4.3.2", "Shutting down"});
  EXPECT_EQ(machine.take_output(), "421 4.3.2 Shutting down\r\n");
  std::string input = "EHLO c\r\n";
  EXPECT_TRUE(std::holds_alternative<Close>(machine.next(input).event));
  EXPECT_EQ(machine.waiting(), ServerMachine::Waiting::kClosed);
  EXPECT_FALSE(machine.has_output());
}

TEST(ServerMachine, StandsStillWhileAQuestionIsOpen) {
  Machine m;
  ASSERT_TRUE(
      m.gives<Hello>("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nNOOP\r\n"));
  ASSERT_TRUE(m.gives<Mail>());
  m.said();
  EXPECT_EQ(m->waiting(), ServerMachine::Waiting::kAnswer);
  const std::string left = m.left();
  EXPECT_TRUE(m.gives<NeedAnswer>());
  EXPECT_TRUE(m.gives<NeedAnswer>());
  EXPECT_EQ(m.left(), left);
  EXPECT_EQ(m.said(), "");
  m->answer_auth(AuthResult::kAccepted);  // not what was asked
  EXPECT_TRUE(m.gives<NeedAnswer>());
  EXPECT_FALSE(m->authenticated());
  m->answer({250, "2.1.0", "ok"});
  EXPECT_TRUE(m.gives<Rcpt>());
  m->answer({550, "5.1.1", "no"});
  EXPECT_TRUE(m.gives<NeedInput>());
  EXPECT_EQ(m.said(), "250 2.1.0 ok\r\n550 5.1.1 no\r\n250 2.0.0 OK\r\n");
}

TEST(ServerMachine, ContentIsUnstuffedInPlace) {
  Machine m;
  m.start_content();
  std::string input = "..a\r\n.b\r\n.\r\nNOOP\r\n";
  Step step = m->next(input);
  const auto* content = std::get_if<Content>(&step.event);
  ASSERT_NE(content, nullptr);
  EXPECT_EQ(content->bytes.data(), input.data());
  EXPECT_EQ(std::string(content->bytes.begin(), content->bytes.end()), ".a\r\nb\r\n");
  EXPECT_EQ(step.used, 12U);
  EXPECT_TRUE(m.gives<ContentEnd>());
}

TEST(ServerMachine, NoContentAfterAFault) {
  Machine m;
  m.start_content();
  EXPECT_TRUE(m.gives<Content>("good\r\n"));
  EXPECT_TRUE(m.gives<NeedInput>("bad\nworse\r\n"));
  EXPECT_TRUE(m.gives<NeedInput>("more\r\n"));
  EXPECT_TRUE(m.gives<Reset>(".\r\n"));
  EXPECT_EQ(m.said().substr(0, 9), "550 5.6.0");
}

// The owner's memory is bounded by what it reads at once, ours by the table: a client that
// pipelines and never reads must not make us gather replies without end.
TEST(ServerMachine, PiledUpRepliesMustBeFlushed) {
  Machine m;
  std::string flood = "EHLO c\r\n";
  for (int i = 0; i < 5000; ++i) flood += "HELP\r\n";
  ASSERT_TRUE(m.gives<Hello>(flood));
  ASSERT_TRUE(m.gives<Flush>());
  ASSERT_TRUE(m.gives<Flush>());
  std::size_t octets = 0;
  while (true) {
    const std::string said = m.said();
    EXPECT_LT(said.size(), 20000U);
    octets += said.size();
    const Event event = m.next();
    if (std::holds_alternative<NeedInput>(event)) break;
    ASSERT_TRUE(std::holds_alternative<Flush>(event));
  }
  octets += m.said().size();
  EXPECT_GT(octets, 5000U * 80U);
}

TEST(ServerMachine, CloseWithBetweenCommands) {
  Machine m;
  ASSERT_TRUE(m.gives<Hello>("EHLO c\r\nNOO"));
  ASSERT_TRUE(m.gives<NeedInput>());
  m.said();
  m->close_with({421, "4.3.2", "bye"});
  EXPECT_TRUE(m.gives<Close>("P\r\n"));
  EXPECT_EQ(m.said(), "421 4.3.2 bye\r\n");
  EXPECT_TRUE(m.gives<Close>("NOOP\r\n"));
  EXPECT_EQ(m.said(), "");
}

TEST(ServerMachine, CloseWithWaitsForAnAnswer) {
  Machine m;
  m.start_content();
  ASSERT_TRUE(m.gives<ContentEnd>(".\r\n"));
  m->close_with({421, "4.3.2", "bye"});
  EXPECT_TRUE(m.gives<NeedAnswer>());
  EXPECT_EQ(m.said(), "");
  m->answer({250, "2.0.0", "queued"});
  EXPECT_TRUE(m.gives<Close>());
  EXPECT_EQ(m.said(), "250 2.0.0 queued\r\n421 4.3.2 bye\r\n");
}

TEST(ServerMachine, CloseWithInContentLosesTheTransaction) {
  Machine m;
  m.start_content();
  ASSERT_TRUE(m.gives<Content>("half a line"));
  m->close_with({421, "4.4.2", "too slow"});
  EXPECT_TRUE(m.gives<Reset>());
  EXPECT_TRUE(m.gives<Close>());
  EXPECT_EQ(m.said(), "421 4.4.2 too slow\r\n");
}

TEST(ServerMachine, CloseWithInsideAChunk) {
  Machine m;
  ASSERT_TRUE(m.gives<Hello>("EHLO c\r\n"));
  ASSERT_TRUE(m.gives<Mail>("MAIL FROM:<a@b.example>\r\n"));
  m->answer({250, "2.1.0", "ok"});
  ASSERT_TRUE(m.gives<Rcpt>("RCPT TO:<c@d.example>\r\n"));
  m->answer({250, "2.1.5", "ok"});
  ASSERT_TRUE(m.gives<DataStart>("BDAT 100\r\n"));
  m->answer({250, "2.0.0", "ok"});
  ASSERT_TRUE(m.gives<Content>("ten octets"));
  EXPECT_EQ(m->waiting(), ServerMachine::Waiting::kContent);
  m->close_with({421, "4.4.2", "too slow"});
  EXPECT_TRUE(m.gives<Reset>());
  EXPECT_TRUE(m.gives<Close>());
}

TEST(ServerMachine, A421AtTheFirstChunkClosesBehindTheChunk) {
  Machine m;
  ASSERT_TRUE(m.gives<Hello>("EHLO c\r\n"));
  ASSERT_TRUE(m.gives<Mail>("MAIL FROM:<a@b.example>\r\n"));
  m->answer({250, "2.1.0", "ok"});
  ASSERT_TRUE(m.gives<Rcpt>("RCPT TO:<c@d.example>\r\n"));
  m->answer({250, "2.1.5", "ok"});
  ASSERT_TRUE(m.gives<DataStart>("BDAT 4\r\n"));
  m->answer({421, "4.3.2", "bye"});
  EXPECT_TRUE(m.gives<Reset>());
  m.said();
  EXPECT_TRUE(m.gives<NeedInput>("xxx"));
  EXPECT_EQ(m.said(), "");
  EXPECT_TRUE(m.gives<Close>("xNOOP\r\n"));
  EXPECT_EQ(m.said(), "421 4.3.2 bye\r\n");
}

// A chunk that cannot fit is refused before the owner makes room for a single octet of it.
TEST(ServerMachine, AChunkTooLargeIsNotEvenAskedAbout) {
  Machine m;
  ASSERT_TRUE(m.gives<Hello>("EHLO c\r\n"));
  ASSERT_TRUE(m.gives<Mail>("MAIL FROM:<a@b.example>\r\n"));
  m->answer({250, "2.1.0", "ok"});
  ASSERT_TRUE(m.gives<Rcpt>("RCPT TO:<c@d.example>\r\n"));
  m->answer({250, "2.1.5", "ok"});
  EXPECT_TRUE(m.gives<Reset>("BDAT 18446744073709551615 LAST\r\n"));
  EXPECT_TRUE(m.gives<NeedInput>("content\r\n"));
  EXPECT_EQ(m->waiting(), ServerMachine::Waiting::kContent);
}

TEST(ServerMachine, A421OfTheOwnerCloses) {
  Machine m;
  ASSERT_TRUE(m.gives<Hello>("EHLO c\r\n"));
  ASSERT_TRUE(m.gives<Mail>("MAIL FROM:<a@b.example>\r\nNOOP\r\n"));
  m->answer({421, "4.3.2", "bye"});
  EXPECT_TRUE(m.gives<Close>());
  EXPECT_TRUE(m.said().ends_with("421 4.3.2 bye\r\n"));
}

TEST(ServerMachine, PlaintextAfterStartTlsInALaterReadCloses) {
  Machine m({.starttls = true});
  ASSERT_TRUE(m.gives<StartTls>("STARTTLS\r\n"));
  EXPECT_EQ(m->waiting(), ServerMachine::Waiting::kTls);
  EXPECT_TRUE(m.gives<NeedInput>());
  EXPECT_TRUE(m.gives<Close>("NOOP\r\n"));
  m->tls_started();
  EXPECT_FALSE(m->inside_tls());
  EXPECT_TRUE(m.gives<Close>());
}

TEST(ServerMachine, AuthSplitsTheMessage) {
  Machine m({.inside_tls = true});
  ASSERT_TRUE(m.gives<Hello>("EHLO c\r\n"));
  const Event event = m.next("AUTH PLAIN egBjAHA=\r\n");
  const auto* auth = std::get_if<Auth>(&event);
  ASSERT_NE(auth, nullptr);
  EXPECT_EQ(auth->authzid, "z");
  EXPECT_EQ(auth->authcid, "c");
  EXPECT_EQ(auth->password, "p");
  EXPECT_EQ(auth->message, std::string_view("z\0c\0p", 5));
  m->answer({250, "2.0.0", "not the answer to this"});
  EXPECT_TRUE(m.gives<NeedAnswer>());
  m->answer_auth(AuthResult::kAccepted);
  EXPECT_TRUE(m->authenticated());
}

TEST(ServerMachine, TlsForgetsTheLoginAndTheName) {
  Machine m({.starttls = true, .auth_in_plaintext = true});
  ASSERT_TRUE(m.gives<Hello>("EHLO c\r\n"));
  ASSERT_TRUE(m.gives<Auth>("AUTH PLAIN egBjAHA=\r\n"));
  m->answer_auth(AuthResult::kAccepted);
  ASSERT_TRUE(m.gives<StartTls>("STARTTLS\r\n"));
  m->tls_started();
  EXPECT_TRUE(m->inside_tls());
  EXPECT_FALSE(m->authenticated());
  EXPECT_EQ(m->hello_name(), "");
}

TEST(ServerMachine, ProtocolNames) {
  Machine plain;
  EXPECT_TRUE(plain.gives<Hello>("HELO c\r\n"));
  EXPECT_EQ(plain->protocol(), "SMTP");
  EXPECT_TRUE(plain.gives<Hello>("EHLO c\r\n"));
  EXPECT_EQ(plain->protocol(), "ESMTP");
  Machine tls({.inside_tls = true});
  EXPECT_TRUE(tls.gives<Hello>("EHLO c\r\n"));
  EXPECT_EQ(tls->protocol(), "ESMTPS");
  EXPECT_TRUE(tls.gives<Auth>("AUTH PLAIN egBjAHA=\r\n"));
  tls->answer_auth(AuthResult::kAccepted);
  EXPECT_EQ(tls->protocol(), "ESMTPSA");
  EXPECT_TRUE(tls.gives<Mail>("MAIL FROM:<a@b.example> SMTPUTF8\r\n"));
  EXPECT_EQ(tls->protocol(), "UTF8SMTPSA");
}

TEST(ServerMachine, EventsOfAQuestionCarryWhatWasSaid) {
  Machine m;
  ASSERT_TRUE(m.gives<Hello>("EHLO c.example\r\n"));
  EXPECT_EQ(m->hello_name(), "c.example");
  const Event mail = m.next("MAIL FROM:<a@b.example> SIZE=5 ENVID=e\r\n");
  ASSERT_TRUE(std::holds_alternative<Mail>(mail));
  EXPECT_EQ(std::get<Mail>(mail).envelope->mail_from, "a@b.example");
  EXPECT_EQ(std::get<Mail>(mail).envelope->size_declared, 5U);
  m->answer({250, "2.1.0", "ok"});
  const Event rcpt = m.next("RCPT TO:<c@d.example> NOTIFY=NEVER\r\n");
  ASSERT_TRUE(std::holds_alternative<Rcpt>(rcpt));
  EXPECT_EQ(std::get<Rcpt>(rcpt).recipient->address, "c@d.example");
  EXPECT_EQ(std::get<Rcpt>(rcpt).recipient->notify, "NEVER");
}

TEST(ServerMachine, TwentyThousandTinyChunks) {
  smtp_test::FixedOwner owner({});
  owner.feed("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<support@acme.example>\r\n");
  std::string chunks = "BDAT 12\r\nSubject: x\r\n";
  for (int i = 0; i < 20000; ++i) chunks += "BDAT 1\r\nx";
  owner.feed(chunks + "BDAT 2 LAST\r\n\r\n");
  ASSERT_EQ(owner.delivered().size(), 1U);
  EXPECT_EQ(owner.delivered()[0].content, "Subject: x\r\n" + std::string(20000, 'x') + "\r\n");
}

// Noise made of the words of SMTP: no crash, the invariants of FixedOwner hold, the same events for
// one read and for many.
TEST(ServerMachine, NoiseIsReadTheSameHoweverItIsCut) {
  const std::vector<std::string> words = {"EHLO c\r\n",
                                          "MAIL FROM:<a@b.example>\r\n",
                                          "RCPT TO:<support@acme.example>\r\n",
                                          "DATA\r\n",
                                          "BDAT 3\r\n",
                                          "BDAT 7 LAST\r\n",
                                          "BDAT 0 LAST\r\n",
                                          ".\r\n",
                                          "..\r\n",
                                          "\r",
                                          "\n",
                                          "\r\n",
                                          ".",
                                          "x",
                                          std::string(1, '\0'),
                                          "RSET\r\n",
                                          "NOOP\r\n",
                                          "AUTH PLAIN\r\n",
                                          "*\r\n",
                                          "AUTH PLAIN AGFjbWUuZXhhbXBsZQBzZWNyZXQ=\r\n",
                                          std::string(300, 'y'),
                                          "\xff",
                                          "HELO d\r\n",
                                          "BDAT 5 X\r\n",
                                          "MAIL FROM:<nodata@client.example>\r\n",
                                          "MAIL FROM:<full@client.example>\r\n"};
  base::Limits limits;
  limits.command_line = 200;
  limits.body_line = 250;
  limits.message_size = 400;
  limits.bad_commands = 30;
  ServerOptions options;
  options.auth_in_plaintext = true;
  for (std::uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    std::string noise = "EHLO c\r\n";
    // A bare LF ends a session: have most of the sessions live a while.
    const auto word_count = std::uniform_int_distribution<std::size_t>(5, 60)(random);
    for (std::size_t i = 0; i < word_count; ++i)
      noise += words[std::uniform_int_distribution<std::size_t>(0, words.size() - 1)(random)];
    smtp_test::FixedOwner whole(options, limits);
    whole.feed(noise);
    smtp_test::FixedOwner pieces(options, limits);
    for (std::string_view left = noise; !left.empty() && !pieces.closed();) {
      const auto size = std::uniform_int_distribution<std::size_t>(
          1, std::min<std::size_t>(left.size(), seed % 2 == 0 ? 1 : 20))(random);
      pieces.feed(left.substr(0, size));
      left.remove_prefix(size);
    }
    ASSERT_EQ(whole.trail(), pieces.trail()) << "seed " << seed;
    ASSERT_EQ(whole.delivered(), pieces.delivered()) << "seed " << seed;
    ASSERT_EQ(whole.take_output(), pieces.take_output()) << "seed " << seed;
    if (HasFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace smtp
