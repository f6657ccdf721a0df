// A real admin server with real stores, on a loop in a thread, and a libcurl client for it.
#pragma once

#include <curl/curl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "certs/sealer.h"
#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/limits.h"
#include "core/base/metrics.h"
#include "core/dns/resolver.h"
#include "core/net/loop.h"
#include "policy/account_store.h"
#include "queue/store.h"
#include "relayd/admin/server.h"

namespace admin {

using nlohmann::json;

// A table, whose answers can be held back.
class HeldResolver final : public dns::Resolver {
 public:
  explicit HeldResolver(net::Loop& loop) : loop_(loop) {}
  void put(const std::string& name, const std::string& txt) {
    dns::Answer answer;
    answer.status = dns::Status::kOk;
    answer.records = {txt};
    table_.put({name, dns::Type::kTxt}, answer);
  }
  void query(const dns::Question& question, OnAnswer on_answer) override {
    held.push_back([this, question, on_answer] {
      dns::Answer none;
      none.status = dns::Status::kNxDomain;
      const dns::Answer* known = table_.find(question);
      on_answer(question, known == nullptr ? none : *known);
    });
    if (!hold) release();
  }
  void release() {
    for (auto& answer : std::exchange(held, {})) loop_.post(std::move(answer));
  }
  bool hold = false;
  std::vector<std::function<void()>> held;

 private:
  net::Loop& loop_;
  dns::Answers table_;
};

struct Response {
  long status = 0;  // 0: no answer
  std::string text, type;
  [[nodiscard]] json body() const { return json::parse(text); }
  [[nodiscard]] std::string error() const { return body().at("error"); }
};

class AdminFixture : public ::testing::Test {
 protected:
  AdminFixture() {
    std::signal(SIGPIPE, SIG_IGN);  // as the daemon does
    std::string pattern = (std::filesystem::temp_directory_path() / "relayd-admin-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    socket_ = directory_ + "/admin.sock";
    std::filesystem::create_directory(directory_ + "/secrets");
    sealer_ = std::make_unique<certs::Sealer>(need(certs::Sealer::open(directory_ + "/secrets")));
    accounts_ = need(policy::AccountStore::open(
        {directory_ + "/accounts", sealer_.get(), &limits_, &clock_, "key", "relay.test"}));
    queue::StoreOptions queue_options;
    queue_options.directory = directory_ + "/queue";
    queue_options.limits = &limits_;
    queue_options.clock = &clock_;
    queue_options.metrics = &metrics_;
    store_ = need(queue::Store::open(std::move(queue_options)));
  }
  ~AdminFixture() override {
    stop();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  AdminOptions options() {
    AdminOptions options;
    options.loop = &loop_;
    options.accounts = accounts_.get();
    options.store = store_.get();
    options.metrics = &metrics_;
    options.resolver = &resolver_;
    options.clock = &clock_;
    options.limits = &limits_;
    options.socket = socket_;
    options.hostname = "relay.test";
    options.version = "1";
    options.ready = [this] { return ready_; };
    return options;
  }
  void start(const AdminOptions& options) {
    server_ = need(AdminServer::open(options));
    thread_ = std::thread([this] { loop_.run(); });
  }
  void start() { start(options()); }
  // The loop ends first, as in the daemon; the server goes with requests pending.
  void stop() {
    if (thread_.joinable()) {
      loop_.stop();
      thread_.join();
    }
    server_.reset();
  }
  template <typename Task>
  void on_loop(Task task) {
    std::promise<void> done;
    loop_.post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  // `base` empty: the Unix socket.
  Response request(const std::string& method, const std::string& path, const std::string& body = "",
                   const std::string& base = "", const std::string& header = "",
                   long timeout_ms = 10'000) {
    CURL* curl = curl_easy_init();
    Response response;
    curl_slist* headers = curl_slist_append(nullptr, "Expect:");
    if (!header.empty()) headers = curl_slist_append(headers, header.c_str());
    const std::string url = (base.empty() ? "http://relayd" : base) + path;
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (base.empty()) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_.c_str());
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &response.text);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &AdminFixture::take);
    if (!body.empty()) {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    }
    if (curl_easy_perform(curl) == CURLE_OK) {
      curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
      const char* type = nullptr;
      curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
      if (type != nullptr) response.type = type;
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return response;
  }
  Response get(const std::string& path) { return request("GET", path); }
  Response post(const std::string& path, const json& body = json::object()) {
    return request("POST", path, body.dump());
  }

  static json acme() {
    return {{"tenant",
             {{{"name", "acme"},
               {"backend", {{"url", "http://u:hidden@127.0.0.1:9000/t"}, {"format", "json"}}},
               {"domain",
                {{{"name", "acme.example"},
                  {"smarthost",
                   {{"host", "mail.acme.example"}, {"username", "r"}, {"password", "s3cret"}}},
                  {"address", {{{"address", "support@acme.example"}}}}}}}}}}};
  }

  // One inbound message, waiting for the back end.
  base::Id enqueue() {
    queue::NewMessage message;
    message.message.id = ids_.next();
    message.message.tenant = "acme";
    message.message.domain = "acme.example";
    message.message.support_address = "support@acme.example";
    message.message.envelope.mail_from = "jane@customer.example";
    message.message.envelope.recipients.push_back({"support@acme.example", "", ""});
    message.message.arrival_ms = clock_.wall_ms();
    message.message.expiry_ms = clock_.wall_ms() + base::kDay;
    message.content = store_->begin_content();
    message.content->append("Subject: x\r\n\r\nHello\r\n");
    queue::Delivery delivery;
    delivery.destination = "backend:acme";
    delivery.next_attempt_ms = clock_.wall_ms() + base::kHour;
    delivery.recipients.push_back({0, queue::RecipientState::kPending, ""});
    message.deliveries.push_back(delivery);
    const base::Id id = message.message.id;
    std::promise<queue::Failure> done;
    store_->submit(std::move(message), [&](queue::Failure failure) { done.set_value(failure); });
    if (done.get_future().get() != queue::Failure::kNone) throw std::runtime_error("submit");
    return id;
  }

  template <typename T>
  static T need(base::Result<T> result) {
    if (!result.ok()) throw std::runtime_error(result.message());
    return result.take();
  }

  std::string directory_, socket_;
  base::Limits limits_;
  base::SystemClock clock_;
  base::Metrics metrics_;
  base::IdGenerator ids_{clock_};
  std::unique_ptr<certs::Sealer> sealer_;
  std::unique_ptr<policy::AccountStore> accounts_;
  net::Loop loop_;
  HeldResolver resolver_{loop_};
  std::unique_ptr<queue::Store> store_;
  std::unique_ptr<AdminServer> server_;
  std::thread thread_;
  bool ready_ = true;

 private:
  static std::size_t take(char* data, std::size_t, std::size_t size, void* into) {
    static_cast<std::string*>(into)->append(data, size);
    return size;
  }
};

}  // namespace admin
