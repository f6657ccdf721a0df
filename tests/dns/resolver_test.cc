// The resolver against real servers on loopback: NSD with a zone, and sockets that misbehave.
#include "core/dns/resolver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>
#include <optional>
#include <thread>

#include "support/test_pki.h"

extern char** environ;

namespace {

using dns::Answer;
using dns::Question;
using dns::Resolver;
using dns::Status;
using dns::Type;

int bind_udp(unsigned& port) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  socklen_t length = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) {
    ::close(fd);
    return -1;
  }
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  port = ntohs(address.sin_port);
  return fd;
}

constexpr char kZone[] = R"($TTL 60
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
@ IN A 192.0.2.1
@ IN MX 10 Mail
@ IN MX 20 backup
@ IN TXT "v=spf1 " "-all"
@ IN TXT "other text"
ns IN A 127.0.0.1
mail IN A 192.0.2.25
mail IN AAAA 2001:db8::25
four IN A 192.0.2.4
alias IN CNAME alias2
alias2 IN CNAME mail
dangling IN CNAME nothing
loop1 IN CNAME loop2
loop2 IN CNAME loop1
null IN MX 0 .
binary IN TXT "a\000b\255"
odd IN PTR we\.ird.name
*.wild IN A 192.0.2.99
)";

class Nsd {
 public:
  Nsd() {
    ::close(bind_udp(port_));
    std::string zone = kZone;
    for (int i = 0; i < 500; ++i) {
      zone += "n" + std::to_string(i) + " IN A 10.0." + std::to_string(i / 250) + "." +
              std::to_string(i % 250) + "\n";
    }
    zone += "large IN TXT";
    for (int i = 0; i < 40; ++i)
      zone += " \"" + std::string(200, static_cast<char>('a' + i % 26)) + "\"";
    zone += "\n";
    std::ofstream(dir_.file("zone")) << zone;
    std::ofstream(dir_.file("nsd.conf"))
        << "server:\n  ip-address: 127.0.0.1@" << port_
        << "\n  username: \"\"\n  chroot: \"\"\n  database: \"\"\n  server-count: 1\n  zonesdir: \""
        << dir_.path() << "\"\n  pidfile: \"" << dir_.file("pid") << "\"\n  xfrdfile: \""
        << dir_.file("xfrd") << "\"\n  zonelistfile: \"" << dir_.file("zonelist")
        << "\"\n  logfile: \"" << dir_.file("log") << "\"\nremote-control:\n  control-enable: no\n";
    std::ofstream conf(dir_.file("nsd.conf"), std::ios::app);
    for (const char* name : {"relay.test", "2.0.192.in-addr.arpa"}) {
      conf << "zone:\n  name: \"" << name << "\"\n  zonefile: \"zone\"\n";
    }
    conf.close();
    const std::string path = dir_.file("nsd.conf");
    std::vector<char*> arguments;
    for (const char* text : {"/usr/sbin/nsd", "-d", "-c", path.c_str()}) {
      arguments.push_back(const_cast<char*>(text));
    }
    arguments.push_back(nullptr);
    if (::posix_spawn(&pid_, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0)
      pid_ = -1;
  }
  ~Nsd() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] std::string server() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  test::TempDir dir_;
  unsigned port_ = 0;
  pid_t pid_ = -1;
};

// Answers every question the same way: with a response code, with garbage, or not at all.
class BadServer {
 public:
  explicit BadServer(std::function<std::string(std::string)> reply, unsigned port = 0)
      : port_(port), fd_(bind_udp(port_)), reply_(std::move(reply)), thread_([this] { serve(); }) {}
  ~BadServer() {
    stop_ = true;
    thread_.join();
    ::close(fd_);
  }
  BadServer(const BadServer&) = delete;
  BadServer& operator=(const BadServer&) = delete;
  [[nodiscard]] std::string server() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] unsigned port() const { return port_; }
  [[nodiscard]] int asked() const { return asked_; }

 private:
  void serve() {
    timeval wait{0, 20'000};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    while (!stop_) {
      char bytes[4096];
      sockaddr_in from{};
      socklen_t length = sizeof from;
      const ssize_t n =
          ::recvfrom(fd_, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (n < 12) continue;
      ++asked_;
      const std::string out = reply_(std::string(bytes, static_cast<std::size_t>(n)));
      if (out.empty()) continue;
      ::sendto(fd_, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
    }
  }
  unsigned port_;
  int fd_;
  std::function<std::string(std::string)> reply_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> asked_ = 0;
  std::thread thread_;
};

std::string with_code(std::string question, int code) {
  question[2] = static_cast<char>(0x81);
  question[3] = static_cast<char>(0x80 | code);
  return question;
}

class ResolverTest : public testing::Test {
 protected:
  static std::string nsd() {
    static const Nsd server;
    static const bool ready = [] {
      // Up when it answers.
      for (int i = 0; i < 100; ++i) {
        net::Loop asking;
        auto to_nsd =
            dns::make_unbound_resolver(asking, {.servers = {server.server()}, .timeout_ms = 300});
        if (to_nsd && ask(asking, **to_nsd, {"ns.relay.test", Type::kA}).status == Status::kOk)
          return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
      return false;
    }();
    EXPECT_TRUE(ready) << "nsd does not answer";
    return server.server();
  }
  static Answer ask(net::Loop& loop, Resolver& resolver, const Question& question) {
    std::optional<Answer> result;
    bool inside = true;
    int calls = 0;
    resolver.query(question, [&](const Question& asked, const Answer& answer) {
      EXPECT_EQ(asked, question);
      EXPECT_FALSE(inside) << "called back before query() returned";
      ++calls;
      result = answer;
      loop.stop();
    });
    inside = false;
    loop.run();
    EXPECT_EQ(calls, 1);
    return result.value_or(Answer{});
  }
  void use(const std::string& server, std::int64_t timeout_ms = 5000) {
    auto made = dns::make_unbound_resolver(loop, {.servers = {server}, .timeout_ms = timeout_ms});
    ASSERT_TRUE(made) << made.message();
    resolver = made.take();
  }
  Answer ask(const std::string& name, Type type) { return ask(loop, *resolver, {name, type}); }
  using Records = std::vector<std::string>;
  static Records sorted(Records records) {
    std::sort(records.begin(), records.end());
    return records;
  }

  net::Loop loop;
  std::unique_ptr<Resolver> resolver;
};

TEST_F(ResolverTest, AnswersOfARealServer) {
  use(nsd());
  EXPECT_EQ(ask("relay.test", Type::kA).records, Records{"192.0.2.1"});
  EXPECT_EQ(sorted(ask("relay.test", Type::kMx).records),
            (Records{"10 mail.relay.test", "20 backup.relay.test"}));
  EXPECT_EQ(sorted(ask("relay.test", Type::kTxt).records), (Records{"other text", "v=spf1 -all"}));
  EXPECT_EQ(ask("mail.relay.test", Type::kAaaa).records, Records{"2001:db8::25"});
  EXPECT_EQ(ask("relay.test", Type::kNs).records, Records{"ns.relay.test"});
  EXPECT_EQ(ask("alias.relay.test", Type::kA).records, Records{"192.0.2.25"});
  EXPECT_EQ(ask("alias.relay.test", Type::kCname).records, Records{"alias2.relay.test"});
  EXPECT_EQ(ask("null.relay.test", Type::kMx).records, Records{"0 ."});
  EXPECT_EQ(ask("binary.relay.test", Type::kTxt).records, Records{std::string("a\0b\xff", 4)});
  EXPECT_EQ(ask("odd.2.0.192.in-addr.arpa", Type::kPtr).records,
            Records{"we\\.ird.name.2.0.192.in-addr.arpa"});
  EXPECT_EQ(ask("any.thing.wild.relay.test", Type::kA).records, Records{"192.0.2.99"});
  EXPECT_EQ(ask("RELAY.Test", Type::kA).records, Records{"192.0.2.1"});
  const Answer large = ask("large.relay.test", Type::kTxt);  // over TCP
  ASSERT_EQ(large.records.size(), 1U);
  EXPECT_EQ(large.records[0].size(), 8000U);
}

TEST_F(ResolverTest, TellsNothingThereFromNoSuchName) {
  use(nsd());
  EXPECT_EQ(ask("four.relay.test", Type::kAaaa).status, Status::kNoData);
  EXPECT_EQ(ask("nothing.relay.test", Type::kA).status, Status::kNxDomain);
  EXPECT_EQ(ask("dangling.relay.test", Type::kA).status, Status::kNxDomain);
  EXPECT_EQ(ask("wild.relay.test", Type::kA).status, Status::kNoData) << "an empty non-terminal";
  EXPECT_EQ(ask("loop1.relay.test", Type::kA).temporary(), true);
  EXPECT_EQ(ask("elsewhere.example", Type::kA).status, Status::kServFail) << "NSD says REFUSED";
  // The second time the answers come from the cache, inside the library's call.
  EXPECT_EQ(ask("nothing.relay.test", Type::kA).status, Status::kNxDomain);
  EXPECT_EQ(ask("four.relay.test", Type::kAaaa).status, Status::kNoData);
}

TEST_F(ResolverTest, NamesThatDnsCannotHoldDoNotExist) {
  int asked = 0;
  BadServer server([&](const std::string&) {
    ++asked;
    return std::string();
  });
  use(server.server());
  for (const std::string& name :
       {std::string(), std::string("a..b"), std::string(64, 'a') + ".test", std::string("a\0b", 3),
        std::string(300, 'a')}) {
    EXPECT_EQ(ask(name, Type::kA).status, Status::kNxDomain) << name;
  }
  EXPECT_EQ(server.asked(), 0);
}

TEST_F(ResolverTest, HostsFileAndLocalhostAreKnown) {
  use(nsd());
  EXPECT_EQ(ask("localhost", Type::kA).records, Records{"127.0.0.1"});
}

TEST_F(ResolverTest, AServerThatFailsIsATemporaryError) {
  for (const int code : {1, 2, 5}) {
    BadServer server([code](std::string question) { return with_code(std::move(question), code); });
    use(server.server());
    EXPECT_EQ(ask("name.example", Type::kA).status, Status::kServFail) << "response code " << code;
    EXPECT_GT(server.asked(), 0);
  }
}

TEST_F(ResolverTest, ASilentServerIsATimeoutOnTime) {
  BadServer server([](const std::string&) { return std::string(); });
  use(server.server(), 300);
  const auto started = std::chrono::steady_clock::now();
  EXPECT_EQ(ask("name.example", Type::kA).status, Status::kTimeout);
  const auto took = std::chrono::steady_clock::now() - started;
  EXPECT_GE(took, std::chrono::milliseconds(280));
  EXPECT_LT(took, std::chrono::milliseconds(1500));
  EXPECT_GT(server.asked(), 0);
}

TEST_F(ResolverTest, GarbageIsATemporaryErrorOrATimeout) {
  BadServer server(
      [](const std::string& question) { return question.substr(0, 2) + std::string(40, '\xff'); });
  use(server.server(), 1000);
  EXPECT_TRUE(ask("name.example", Type::kA).temporary());
}

TEST_F(ResolverTest, AServerThatComesBackIsUsedAgain) {
  unsigned port = 0;
  {
    BadServer silent([](const std::string&) { return std::string(); });
    port = silent.port();
    use(silent.server(), 400);
    EXPECT_EQ(ask("one.example", Type::kA).status, Status::kTimeout);
  }
  BadServer well([](std::string question) { return with_code(std::move(question), 3); }, port);
  Status status = Status::kTimeout;
  for (int i = 0; i < 40 && status != Status::kNxDomain; ++i) {
    status = ask("n" + std::to_string(i) + ".example", Type::kA).status;
  }
  EXPECT_EQ(status, Status::kNxDomain);
}

TEST_F(ResolverTest, FiveHundredAtOnceAndAgainFromTheCache) {
  use(nsd(), 20'000);
  for (int round = 0; round < 2; ++round) {
    std::map<std::string, std::string> answers;
    for (int i = 0; i < 500; ++i) {
      const std::string name = "n" + std::to_string(i) + ".relay.test";
      resolver->query({name, Type::kA}, [&](const Question& question, const Answer& answer) {
        answers[question.name] = answer.status == Status::kOk ? answer.records.at(0) : "none";
        if (answers.size() == 500) loop.stop();
      });
    }
    EXPECT_TRUE(answers.empty());
    loop.run();
    for (int i = 0; i < 500; ++i) {
      EXPECT_EQ(answers["n" + std::to_string(i) + ".relay.test"],
                "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250));
    }
  }
}

TEST_F(ResolverTest, MayBeDestroyedWithQuestionsOpenAndInsideAnAnswer) {
  use(nsd());
  int answered = 0;
  for (int i = 0; i < 10; ++i) {
    resolver->query({"n" + std::to_string(i) + ".relay.test", Type::kA},
                    [&](const auto&, const auto&) {
                      ++answered;
                      resolver.reset();
                    });
  }
  net::Timer timer(loop, [&] { loop.stop(); });
  timer.start_ms(200);
  loop.run();
  EXPECT_EQ(answered, 1);

  BadServer silent([](const std::string&) { return std::string(); });
  use(silent.server(), 50);
  resolver->query({"x.example", Type::kA}, [&](const auto&, const Answer& answer) {
    EXPECT_EQ(answer.status, Status::kTimeout);
    resolver.reset();
    loop.stop();
  });
  loop.run();
  EXPECT_FALSE(resolver);
}

TEST_F(ResolverTest, AnAnswerMayAskTheNextQuestion) {
  use(nsd());
  int depth = 0;
  std::function<void(const Question&, const Answer&)> next = [&](const Question&,
                                                                 const Answer& answer) {
    EXPECT_EQ(answer.status, Status::kOk);
    if (++depth == 50) return loop.stop();
    resolver->query({"n" + std::to_string(depth / 2) + ".relay.test", Type::kA}, next);
  };
  resolver->query({"n0.relay.test", Type::kA}, next);
  loop.run();
  EXPECT_EQ(depth, 50);
}

TEST_F(ResolverTest, ServersThatAreNoAddressesAreErrors) {
  for (const char* server :
       {"", "localhost", "127.0.0.1:0", "127.0.0.1:x", "[::1]", "192.0.2.1:70000"}) {
    auto made = dns::make_unbound_resolver(loop, {.servers = {server}, .timeout_ms = 100});
    ASSERT_FALSE(made) << server;
    EXPECT_NE(made.message().find("DNS server"), std::string::npos);
  }
  for (const char* server : {"127.0.0.1", "::1", "[::1]:5353", "127.0.0.1:5353"}) {
    EXPECT_TRUE(dns::make_unbound_resolver(loop, {.servers = {server}, .timeout_ms = 100}).ok())
        << server;
  }
}

class HostTest : public ResolverTest {
 protected:
  dns::HostAddresses look_up(Resolver& with, const std::string& host) {
    std::optional<dns::HostAddresses> result;
    dns::resolve_host(with, host, [&](dns::HostAddresses found) {
      result = std::move(found);
      loop.stop();
    });
    loop.run();
    return result.value();
  }
};

TEST_F(HostTest, GivesAllAddressesThroughAliases) {
  use(nsd());
  EXPECT_EQ(look_up(*resolver, "alias.relay.test").ips, (Records{"2001:db8::25", "192.0.2.25"}));
  EXPECT_EQ(look_up(*resolver, "four.relay.test").ips, Records{"192.0.2.4"});
  EXPECT_EQ(look_up(*resolver, "192.0.2.7").ips, Records{"192.0.2.7"});
  EXPECT_EQ(look_up(*resolver, "2001:DB8::7").ips, Records{"2001:db8::7"});
}

TEST_F(HostTest, SaysWhyThereIsNoneAndWhetherToTryAgain) {
  dns::TableResolver table(loop);
  table.put({"empty.example", Type::kA},
            {.status = Status::kNoData, .records = {}, .secure = false});
  table.put({"empty.example", Type::kAaaa},
            {.status = Status::kNoData, .records = {}, .secure = false});
  table.put({"ill.example", Type::kA}, {.status = Status::kNoData, .records = {}, .secure = false});
  table.put({"ill.example", Type::kAaaa},
            {.status = Status::kServFail, .records = {}, .secure = false});
  table.put({"half.example", Type::kA},
            {.status = Status::kOk, .records = {"192.0.2.1"}, .secure = false});
  table.put({"half.example", Type::kAaaa},
            {.status = Status::kTimeout, .records = {}, .secure = false});
  struct Case {
    std::string host, words;
    bool temporary;
  };
  for (const auto& c : std::vector<Case>{{"nowhere.example", "no host nowhere.example", false},
                                         {"empty.example", "no address", false},
                                         {"ill.example", "at the moment", true}}) {
    const auto found = look_up(table, c.host);
    EXPECT_TRUE(found.ips.empty());
    EXPECT_EQ(found.temporary, c.temporary) << c.host;
    EXPECT_NE(found.error.find(c.words), std::string::npos) << found.error;
  }
  const auto half = look_up(table, "half.example");
  EXPECT_EQ(half.ips, Records{"192.0.2.1"});
  EXPECT_FALSE(half.temporary);
  EXPECT_EQ(half.error, "");
  EXPECT_EQ(table.queries(), 8U);
}

}  // namespace
