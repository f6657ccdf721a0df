// Tickets from a real queue to a real HTTP server (tests/support/backend.py) in a process of its
// own.
#include "relayd/tickets/hand_off.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "core/base/bytes.h"
#include "core/net/socket_address.h"
#include "support/test_pki.h"
#include "tickets/support.h"

extern char** environ;

namespace tickets {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using tickets_test::slurp;

// backend.py, stopped with the object.
class Backend {
 public:
  Backend(std::string out, std::vector<std::string> arguments) : out_(std::move(out)) {
    int in[2], from[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0)
      throw std::runtime_error("pipe");
    std::vector<std::string> all = {"/usr/bin/python3",
                                    std::string(RELAYD_TESTS_DIR) + "/support/backend.py", "--out",
                                    out_, "--exit-on-stdin-eof"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (auto& one : all) argv.push_back(one.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    const int result = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(from[1]);
    stdin_ = in[1];
    char line[32] = {};
    const ssize_t n = ::read(from[0], line, sizeof line - 1);
    ::close(from[0]);
    if (result != 0 || n <= 0) throw std::runtime_error("backend.py does not start");
    port_ = static_cast<unsigned>(std::stoul(line));
  }
  ~Backend() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(stdin_);
  }
  [[nodiscard]] unsigned port() const { return port_; }
  [[nodiscard]] std::vector<json> requests() const {
    std::vector<json> out;
    std::istringstream lines(slurp(out_));
    for (std::string line; std::getline(lines, line);) {
      if (json::accept(line)) out.push_back(json::parse(line));
    }
    return out;
  }
  [[nodiscard]] std::string answers() const {
    std::string out;
    for (const auto& one : requests()) out += one["answer"].get<std::string>() + " ";
    return out;
  }

 private:
  std::string out_;
  pid_t pid_ = -1;
  int stdin_ = -1;
  unsigned port_ = 0;
};

unsigned free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = net::SocketAddress::from_ip("127.0.0.1", 0).take();
  ::bind(fd, reinterpret_cast<sockaddr*>(&address.storage), address.length);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length);
  ::close(fd);
  return address.port();
}

long peak_rss_kb() {
  std::istringstream lines(slurp("/proc/self/status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
  }
  return 0;
}

class HandOffTest : public testing::Test {
 protected:
  HandOffTest() {
    sealer_.emplace(certs::Sealer::open(directory_.file("secrets")).take());
    retry_ms_ = {150};
  }
  ~HandOffTest() override {
    if (thread_.joinable()) {
      on_loop([this] { hand_off_.reset(); });
      loop_.stop();
      thread_.join();
    }
    store_.reset();  // answers what is pending, with nobody listening
  }

  // The tenant "acme" with a back end at `url`; the secret it got.
  std::string apply(const std::string& url,
                    policy::TicketFormat format = policy::TicketFormat::kJson) {
    if (!accounts_) {
      policy::AccountStoreOptions options;
      options.directory = directory_.file("accounts");
      options.sealer = &*sealer_;
      options.limits = &limits_;
      options.clock = &clock_;
      options.digest_key = std::string(32, 'k');
      accounts_ = policy::AccountStore::open(options).take();
    }
    policy::TenantPlan tenant;
    tenant.name = "acme";
    tenant.backend_url = url;
    tenant.format = format;
    auto applied = accounts_->apply({{tenant}});
    EXPECT_TRUE(applied.ok());
    return applied->tenants.empty() ? "" : applied->tenants[0].webhook_secret;
  }

  void start() {
    if (!store_) {
      queue::StoreOptions options;
      options.directory = directory_.file("queue");
      options.limits = &limits_;
      options.clock = &clock_;
      options.metrics = &metrics_;
      store_ = queue::Store::open(options).take();
    }
    HandOffOptions options;
    options.loop = &loop_;
    options.store = store_.get();
    options.accounts = accounts_.get();
    options.clock = &clock_;
    options.limits = &limits_;
    options.metrics = &metrics_;
    options.resolver = &resolver_;
    options.retry_ms = retry_ms_;
    options.trust_paths = trust_;
    hand_off_ = std::make_unique<HandOff>(options);
    store_->on_waiting([this](const queue::Store::Waiting& waiting) {
      loop_.post([this, waiting] {
        if (hand_off_) hand_off_->waiting(waiting);
      });
    });
    thread_ = std::thread([this] { loop_.run(); });
  }

  void on_loop(std::function<void()> task) {
    std::promise<void> done;
    loop_.post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  base::Id submit(const std::string& mail, const std::string& tenant = "acme",
                  std::int64_t expiry_ms = 0) {
    queue::NewMessage message;
    const base::Id id = ids_.next();
    message.message.id = id;
    message.message.tenant = tenant;
    message.message.domain = "acme.example";
    message.message.support_address = "support@acme.example";
    message.message.envelope.mail_from = "ann@customer.example";
    message.message.envelope.recipients = {{"support@acme.example", "", ""}};
    message.message.trust = "password";
    message.message.arrival_ms = clock_.wall_ms();
    message.message.expiry_ms = expiry_ms;
    message.prefix = "Received: by relay\r\n";
    message.content = store_->begin_content();
    EXPECT_EQ(message.content->append(mail), queue::Failure::kNone);
    queue::Delivery delivery;
    delivery.destination = "backend:" + tenant;
    delivery.next_attempt_ms = clock_.wall_ms();
    delivery.recipients = {{0, queue::RecipientState::kPending, ""}};
    message.deliveries.push_back(delivery);
    std::promise<queue::Failure> done;
    store_->submit(std::move(message), [&](queue::Failure failure) { done.set_value(failure); });
    EXPECT_EQ(done.get_future().get(), queue::Failure::kNone);
    return id;
  }

  bool until(const std::function<bool()>& condition, std::chrono::milliseconds longest = 15s) {
    const auto end = std::chrono::steady_clock::now() + longest;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(10ms);
    }
    return true;
  }
  bool until_empty(std::chrono::milliseconds longest = 15s) {
    return until([this] { return store_->message_count() == 0; }, longest);
  }
  queue::Delivery delivery(const base::Id& id) {
    const auto found = store_->delivery(id, 0);
    return found ? *found : queue::Delivery{};
  }
  std::int64_t metric(const char* name) { return metrics_.counter(name, "").value(); }
  std::string url(unsigned port) { return "http://127.0.0.1:" + std::to_string(port) + "/tickets"; }

  test::TempDir directory_;
  base::SystemClock clock_;
  base::Limits limits_;
  base::Metrics metrics_;
  base::IdGenerator ids_{clock_};
  std::optional<certs::Sealer> sealer_;
  std::unique_ptr<policy::AccountStore> accounts_;
  std::unique_ptr<queue::Store> store_;
  net::Loop loop_;
  dns::TableResolver resolver_{loop_};
  std::vector<std::int64_t> retry_ms_;
  std::vector<std::string> trust_;
  std::unique_ptr<HandOff> hand_off_;
  std::thread thread_;
};

const std::string kMail = "From: ann@customer.example\r\nSubject: help\r\n\r\nplease\r\n";

// The secret is made by apply() and the port by the back end: the URL is put right in a second
// apply().
#define BACKEND(format, ...)                                                    \
  const std::string secret = apply("http://127.0.0.1:1/", format);              \
  Backend backend(directory_.file("out"), {"--secret", secret, ##__VA_ARGS__}); \
  apply(url(backend.port()), format)

TEST_F(HandOffTest, SignedTicketsOverAKeptConnection) {
  BACKEND(policy::TicketFormat::kJson);
  start();
  const base::Id first = submit(kMail);
  ASSERT_TRUE(until_empty());
  submit(kMail);
  ASSERT_TRUE(until_empty());
  const auto requests = backend.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0]["verified"], true);
  EXPECT_EQ(requests[1]["verified"], true);
  EXPECT_EQ(requests[0]["connection"], requests[1]["connection"]);
  EXPECT_EQ(requests[0]["path"], "/tickets");
  const json& headers = requests[0]["headers"];
  EXPECT_EQ(headers["content-type"], "application/json");
  EXPECT_EQ(headers["webhook-id"], "msg_" + first.str() + "_0");
  EXPECT_FALSE(headers.contains("expect"));
  EXPECT_FALSE(headers.contains("transfer-encoding"));
  const json& data = requests[0]["event"]["data"];
  EXPECT_EQ(data["subject"], "help");
  EXPECT_EQ(base::base64_decode(data["raw"].get<std::string>()), "Received: by relay\r\n" + kMail);
  EXPECT_EQ(metric("relayd_tickets_delivered_total"), 2);
  EXPECT_EQ(metric("relayd_ticket_attempts_in_flight"), 0);
}

TEST_F(HandOffTest, ErrorsAreRetriedUnderTheSameId) {
  BACKEND(policy::TicketFormat::kJson, "--answers", "500,302,close,drop,503");
  start();
  submit(kMail);
  ASSERT_TRUE(until_empty());
  EXPECT_EQ(backend.answers(), "500 302 close 503 200 ");
  std::set<json> ids;
  for (const auto& one : backend.requests()) {
    ids.insert(one["headers"]["webhook-id"]);
    EXPECT_EQ(one["verified"], true);
    EXPECT_EQ(one["path"], "/tickets");
  }
  EXPECT_EQ(ids.size(), 1u);
  // One less than failures: a kept connection that is closed is curl's to replace, once (and the
  // body is sent again from its start).
  EXPECT_EQ(metric("relayd_tickets_retried_total"), 4);
}

TEST_F(HandOffTest, RetryAfterIsObeyedForAllOfTheBackEnd) {
  limits_.http_connections = 1;
  BACKEND(policy::TicketFormat::kJson, "--answers", "429:2,503@3");
  start();
  submit(kMail);
  submit(kMail);
  ASSERT_TRUE(until_empty());
  const auto requests = backend.requests();
  ASSERT_EQ(backend.answers(), "429:2 503@3 200 200 ");
  const auto at = [&](std::size_t i) { return requests[i]["time"].get<double>(); };
  EXPECT_GE(at(1) - at(0), 1.95);
  EXPECT_GE(at(2) - at(1), 1.9);  // a date has whole seconds
  EXPECT_LT(at(3) - at(2), 1.0);
}

TEST_F(HandOffTest, RefusalPausesTheEndpointAndOneProbes) {
  limits_.http_connections = 1;
  retry_ms_ = {400};
  BACKEND(policy::TicketFormat::kJson, "--answers", "401,404");
  start();
  std::vector<base::Id> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(submit(kMail));
  ASSERT_TRUE(until([&] { return backend.requests().size() == 1; }));
  ASSERT_TRUE(until([&] { return delivery(ids[0]).attempts == 1; }));
  EXPECT_EQ(delivery(ids[0]).state, queue::State::kWaiting);
  EXPECT_EQ(delivery(ids[0]).last_reply, "HTTP 401: this is answer 401");
  EXPECT_EQ(metrics_.gauge("relayd_backend_paused", "", "reason=\"refused\"").value(), 1);
  ASSERT_TRUE(until_empty());
  EXPECT_EQ(backend.answers(), "401 404 200 200 200 200 200 ");
  EXPECT_EQ(metrics_.gauge("relayd_backend_paused", "", "reason=\"refused\"").value(), 0);
}

TEST_F(HandOffTest, MendedAccountIsTriedAtOnce) {
  retry_ms_ = {3'600'000};
  Backend backend(directory_.file("out"), {"--secret", "whsec_AAAA"});
  apply(url(backend.port()));
  start();
  const base::Id id = submit(kMail);
  ASSERT_TRUE(until([&] { return delivery(id).attempts == 1; }));
  EXPECT_EQ(delivery(id).last_reply, "HTTP 401: this is answer 401");
  Backend other(directory_.file("out2"), {});
  apply(url(other.port()));
  loop_.post([this] { hand_off_->accounts_changed(); });
  ASSERT_TRUE(until_empty());
  EXPECT_EQ(other.answers(), "200 ");
}

TEST_F(HandOffTest, ResumedByHandAtOnceAndShownUntilThen) {
  limits_.http_connections = 1;
  retry_ms_ = {3'600'000};
  BACKEND(policy::TicketFormat::kJson, "--answers", "403");
  start();
  const base::Id id = submit(kMail);
  submit(kMail);
  ASSERT_TRUE(until([&] { return delivery(id).attempts == 1; }));
  const auto paused = hand_off_->paused();
  ASSERT_TRUE(paused.contains("acme"));
  EXPECT_TRUE(paused.at("acme").refused);
  EXPECT_EQ(paused.at("acme").reply, "HTTP 403: this is answer 403");
  EXPECT_GT(paused.at("acme").next_probe_ms, clock_.wall_ms() + 3'000'000);
  on_loop([this] {
    EXPECT_FALSE(hand_off_->resume("other"));
    EXPECT_TRUE(hand_off_->resume("acme"));
  });
  ASSERT_TRUE(until_empty());
  EXPECT_EQ(backend.answers(), "403 200 200 ");
  EXPECT_TRUE(hand_off_->paused().empty());
}

TEST_F(HandOffTest, TooMuchWithoutATimePausesForTheBackOff) {
  limits_.http_connections = 1;
  retry_ms_ = {600};
  BACKEND(policy::TicketFormat::kJson, "--answers", "429,503");
  start();
  for (int i = 0; i < 3; ++i) submit(kMail);
  ASSERT_TRUE(until_empty());
  // Nobody else bothers it meanwhile.
  EXPECT_EQ(backend.answers(), "429 503 200 200 200 ");
  const auto requests = backend.requests();
  const auto at = [&](std::size_t i) { return requests[i]["time"].get<double>(); };
  EXPECT_GE(at(1) - at(0), 0.5);
  EXPECT_GE(at(2) - at(1), 0.5);
}

TEST_F(HandOffTest, BothSecretsSignWhileRotating) {
  const std::string old = apply("http://127.0.0.1:1/");
  const std::string fresh = accounts_->rotate_webhook_secret("acme").take();
  Backend knows_old(directory_.file("out"), {"--secret", old});
  Backend knows_fresh(directory_.file("out2"), {"--secret", fresh});
  apply(url(knows_old.port()));
  start();
  submit(kMail);
  ASSERT_TRUE(until_empty());
  EXPECT_EQ(knows_old.requests()[0]["verified"], true);
  apply(url(knows_fresh.port()));
  submit(kMail);
  ASSERT_TRUE(until_empty());
  EXPECT_EQ(knows_fresh.requests()[0]["verified"], true);

  retry_ms_ = {3'600'000};
  ASSERT_TRUE(accounts_->end_old_webhook_secrets("acme").ok());
  apply(url(knows_old.port()));
  const base::Id id = submit(kMail);
  ASSERT_TRUE(until([&] { return delivery(id).attempts == 1; }));
  EXPECT_EQ(delivery(id).last_reply, "HTTP 401: this is answer 401");
}

TEST_F(HandOffTest, WhatItCannotDigestIsHeldForTheOperator) {
  limits_.http_connections = 1;
  BACKEND(policy::TicketFormat::kJson, "--answers", "422,200,413");
  start();
  const base::Id first = submit(kMail), second = submit(kMail), third = submit(kMail);
  ASSERT_TRUE(
      until([&] { return backend.requests().size() == 3 && store_->message_count() == 2; }));
  ASSERT_TRUE(until([&] { return delivery(third).state == queue::State::kHeld; }));
  EXPECT_FALSE(store_->find(second));
  EXPECT_EQ(delivery(first).state, queue::State::kHeld);
  EXPECT_EQ(delivery(first).last_reply, "HTTP 422: this is answer 422");
  EXPECT_EQ(metric("relayd_tickets_held_total"), 2);
  store_->release(first, [](queue::Failure) {});
  ASSERT_TRUE(until([&] { return store_->message_count() == 1; }));
}

TEST_F(HandOffTest, HangingBackEndFreesItsSlot) {
  limits_.http_connections = 1;
  limits_.http_timeout = 400;
  BACKEND(policy::TicketFormat::kJson, "--answers", "hang,trickle");
  start();
  submit(kMail);
  submit(kMail);
  ASSERT_TRUE(until_empty());
  EXPECT_EQ(backend.answers(), "hang trickle 200 200 ");
}

TEST_F(HandOffTest, AnswerWithoutEndIsNotReadToTheEnd) {
  BACKEND(policy::TicketFormat::kJson, "--answers", "flood");
  start();
  submit(kMail);
  ASSERT_TRUE(until_empty(5s));
  EXPECT_EQ(backend.answers(), "flood ");
}

TEST_F(HandOffTest, BackEndThatIsDownGetsEveryTicketWhenItIsUp) {
  const unsigned port = free_port();
  const std::string secret = apply(url(port));
  start();
  std::vector<base::Id> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(submit(kMail));
  ASSERT_TRUE(until([&] { return metric("relayd_tickets_retried_total") >= 10; }));
  EXPECT_NE(delivery(ids[0]).last_reply.find("onnect"), std::string::npos)
      << delivery(ids[0]).last_reply;
  Backend backend(directory_.file("out"), {"--secret", secret, "--port", std::to_string(port)});
  ASSERT_TRUE(until_empty());
  std::set<json> seen;
  for (const auto& one : backend.requests()) {
    EXPECT_EQ(one["verified"], true);
    seen.insert(one["event"]["data"]["id"]);
  }
  EXPECT_EQ(seen.size(), 100u);
}

TEST_F(HandOffTest, Rfc822WithBasicAndRedirectedNowhere) {
  Backend backend(directory_.file("out"), {"--basic", "actionmailbox:p@ss"});
  apply("http://actionmailbox:p%40ss@localhost:" + std::to_string(backend.port()) + "/rails",
        policy::TicketFormat::kRfc822);
  start();
  submit(kMail);
  ASSERT_TRUE(until_empty());
  const auto requests = backend.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0]["answer"], "200");
  EXPECT_EQ(requests[0]["headers"]["content-type"], "message/rfc822");
  EXPECT_EQ(requests[0]["headers"]["x-relayd-recipient"], "support@acme.example");
  EXPECT_EQ(requests[0]["headers"]["x-relayd-event"], "message.received");
  EXPECT_EQ(base::base64_decode(requests[0]["raw"].get<std::string>()),
            "Received: by relay\r\n" + kMail);
}

TEST_F(HandOffTest, MailgunForm) {
  BACKEND(policy::TicketFormat::kMailgun);
  start();
  submit(kMail);
  ASSERT_TRUE(until_empty());
  const auto requests = backend.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0]["verified"], true);
  EXPECT_EQ(requests[0]["form"]["recipient"], "support@acme.example");
  EXPECT_EQ(base::base64_decode(requests[0]["raw"].get<std::string>()),
            "Received: by relay\r\n" + kMail);
}

TEST_F(HandOffTest, NamesAreAskedFromOurResolver) {
  BACKEND(policy::TicketFormat::kJson);
  apply("http://desk.test:" + std::to_string(backend.port()) + "/");
  resolver_.put({"desk.test", dns::Type::kA}, {dns::Status::kOk, {"127.0.0.1"}, false});
  start();
  submit(kMail);
  ASSERT_TRUE(until_empty());
  EXPECT_EQ(backend.requests()[0]["headers"]["host"],
            "desk.test:" + std::to_string(backend.port()));
  apply("http://nowhere.test/");
  const base::Id id = submit(kMail);
  ASSERT_TRUE(until([&] { return delivery(id).attempts > 0; }));
  EXPECT_EQ(delivery(id).last_reply, "there is no host nowhere.test in DNS");
}

TEST_F(HandOffTest, TlsIsVerified) {
  test::TestPki pki;
  const auto identity = pki.issue("IP:127.0.0.1");
  BACKEND(policy::TicketFormat::kJson, "--tls-cert", identity.certificate, "--tls-key",
          identity.key);
  apply("https://127.0.0.1:" + std::to_string(backend.port()) + "/");
  start();
  const base::Id id = submit(kMail);
  ASSERT_TRUE(until([&] { return delivery(id).attempts > 0; }));
  EXPECT_NE(delivery(id).last_reply.find("certificate"), std::string::npos)
      << delivery(id).last_reply;
  on_loop([this] { hand_off_.reset(); });
  loop_.stop();
  thread_.join();
  EXPECT_EQ(backend.answers(), "");
}

TEST_F(HandOffTest, TlsWithAPrivateRoot) {
  test::TestPki pki;
  const auto identity = pki.issue("IP:127.0.0.1");
  BACKEND(policy::TicketFormat::kJson, "--tls-cert", identity.certificate, "--tls-key",
          identity.key);
  apply("https://127.0.0.1:" + std::to_string(backend.port()) + "/");
  trust_ = {pki.ca()};
  start();
  submit(kMail);
  ASSERT_TRUE(until_empty());
  EXPECT_EQ(backend.answers(), "200 ");
}

TEST_F(HandOffTest, ExpiredOrOrphanedIsHeldNeverLost) {
  BACKEND(policy::TicketFormat::kJson, "--then", "500");
  start();
  const base::Id expired = submit(kMail, "acme", clock_.wall_ms() - 1);
  const base::Id orphan = submit(kMail, "nobody");
  ASSERT_TRUE(until([&] {
    return delivery(expired).state == queue::State::kHeld &&
           delivery(orphan).state == queue::State::kHeld;
  }));
  EXPECT_EQ(delivery(expired).last_reply,
            "expired, held for the operator; last reply: HTTP 500: this is answer 500");
  EXPECT_EQ(delivery(orphan).last_reply.substr(0, 27), "there is no tenant \"nobody\"");
}

TEST_F(HandOffTest, StopLetsAttemptsFinish) {
  BACKEND(policy::TicketFormat::kJson);
  start();
  for (int i = 0; i < 20; ++i) submit(kMail);
  std::promise<void> stopped;
  loop_.post([&] { hand_off_->stop([&] { stopped.set_value(); }); });
  ASSERT_EQ(stopped.get_future().wait_for(10s), std::future_status::ready);
  const auto delivered = metric("relayd_tickets_delivered_total");
  EXPECT_EQ(store_->message_count(), 20u - static_cast<std::size_t>(delivered));
  std::this_thread::sleep_for(200ms);
  EXPECT_EQ(backend.requests().size(), static_cast<std::size_t>(delivered));
}

TEST_F(HandOffTest, MemoryDoesNotGrowWithTheMessage) {
  BACKEND(policy::TicketFormat::kJson);
  start();
  submit(kMail);
  ASSERT_TRUE(until_empty());
  std::string mail =
      "Subject: big\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
      "Content-Type: application/zip; name=big.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n";
#if defined(__SANITIZE_ADDRESS__)
  constexpr std::size_t kOctets = 2 * 1024 * 1024;  // slow, and memory is not measured
#else
  constexpr std::size_t kOctets = 40 * 1024 * 1024;
#endif
  while (mail.size() < kOctets) mail += std::string(76, 'A') + "\r\n";
  mail += "--b--\r\n";
  std::ofstream("/proc/self/clear_refs") << 5;
  [[maybe_unused]] const long before = peak_rss_kb();  // means nothing under a sanitizer
  submit(mail);
  ASSERT_TRUE(until_empty(60s));
#if !defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(peak_rss_kb() - before, 12 * 1024);
#endif
  const auto requests = backend.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[1]["verified"], true);
  const json& data = requests[1]["event"]["data"];
  EXPECT_EQ(data["attachments"][0]["name"], "big.zip");
  EXPECT_EQ(base::base64_decode(data["raw"].get<std::string>()), "Received: by relay\r\n" + mail);
}

}  // namespace
}  // namespace tickets
