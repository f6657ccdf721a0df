// What the queue's tests share: a store in a directory of its own, calls that wait for the answer.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/limits.h"
#include "core/base/metrics.h"
#include "queue/store.h"

namespace queue {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "queue-test-XXXXXX").string();
    const char* made = mkdtemp(pattern.data());
    if (made == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = made;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// One call of the store, waited for.
template <typename Call>
Failure wait_for(Call call) {
  auto promise = std::make_shared<std::promise<Failure>>();
  auto answer = promise->get_future();
  call([promise](Failure failure) { promise->set_value(failure); });
  return answer.get();
}

inline std::string random_text(std::size_t octets, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::string text(octets, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

inline Delivery delivery_to(std::string destination, std::int64_t due_ms,
                            std::vector<std::uint32_t> recipients = {0}) {
  Delivery delivery;
  delivery.destination = std::move(destination);
  delivery.next_attempt_ms = due_ms;
  for (const std::uint32_t index : recipients) delivery.recipients.emplace_back().index = index;
  return delivery;
}

inline Message message_of(const base::Id& id) {
  Message message;
  message.id = id;
  message.kind = Kind::kOutbound;
  message.tenant = "acme";
  message.domain = "acme.example";
  message.support_address = "support@acme.example";
  message.envelope.mail_from = "support@acme.example";
  message.envelope.recipients = {{"a@customer.example", "NEVER", ""},
                                 {"b@customer.example", "", "rfc822;b@customer.example"}};
  message.trust = "password";
  message.arrival_ms = 1'700'000'000'000;
  message.expiry_ms = 1'700'000'500'000;
  return message;
}

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    limits_.queue_map_size = 64 * base::kMiB;
    limits_.body_memory = 64 * base::kKiB;
  }

  void open() {
    store_.reset();
    auto opened = try_open();
    ASSERT_TRUE(opened.ok()) << opened.message();
    store_ = opened.take();
  }
  base::Result<std::unique_ptr<Store>> try_open() {
    StoreOptions options;
    options.directory = queue_directory();
    options.limits = &limits_;
    options.clock = &clock_;
    options.metrics = &metrics_;
    options.fault = fault_;
    return Store::open(std::move(options));
  }
  [[nodiscard]] virtual std::string queue_directory() const { return directory_.path() + "/queue"; }
  // Those whose name begins so; spares by "spare-".
  [[nodiscard]] std::size_t segment_files(const std::string& name = "0") const {
    std::size_t n = 0;
    for (const auto& entry : std::filesystem::directory_iterator(queue_directory() + "/segments")) {
      n += entry.path().filename().string().starts_with(name) ? 1 : 0;
    }
    return n;
  }

  NewMessage new_message(const std::string& prefix, const std::string& content) {
    NewMessage message;
    message.message = message_of(ids_.next());
    message.prefix = prefix;
    message.content = store_->begin_content();
    for (std::size_t at = 0; at < content.size(); at += 1000) {
      EXPECT_EQ(message.content->append(std::string_view(content).substr(at, 1000)),
                Failure::kNone);
    }
    message.deliveries.push_back(delivery_to("smarthost:acme.example", 1000, {0, 1}));
    return message;
  }
  Failure submit(NewMessage message) {
    return wait_for(
        [&](Store::OnDone done) { store_->submit(std::move(message), std::move(done)); });
  }
  base::Id submit_text(const std::string& prefix, const std::string& content) {
    NewMessage message = new_message(prefix, content);
    const base::Id id = message.message.id;
    EXPECT_EQ(submit(std::move(message)), Failure::kNone);
    return id;
  }
  Failure update(DeliveryUpdate change) {
    return wait_for(
        [&](Store::OnDone done) { store_->update(std::move(change), std::move(done)); });
  }
  Failure finish(const base::Id& id, std::uint32_t index = 0) {
    DeliveryUpdate change;
    change.id = id;
    change.index = index;
    change.finished = true;
    return update(std::move(change));
  }
  // Everything that waits, destination by destination.
  std::vector<Store::Due> all_due() {
    std::vector<Store::Due> all;
    const auto destinations = store_->destinations();
    EXPECT_TRUE(destinations.ok());
    for (const Store::Destination& destination : *destinations) {
      const Store::DuePage page = store_->due(destination.name, std::nullopt, 100'000);
      EXPECT_TRUE(page.complete);
      const std::int64_t first_ms = page.rows.empty() ? -1 : page.rows.front().due_ms;
      EXPECT_EQ(first_ms, destination.first_due_ms);
      all.insert(all.end(), page.rows.begin(), page.rows.end());
    }
    return all;
  }
  // Prefix and content as stored, read in uneven pieces; the error's text where there is one.
  std::string read_back(const base::Id& id) {
    const auto message = store_->find(id);
    if (!message) return "not found";
    const auto reader = store_->open_content(*message);
    if (!reader) return reader.message();
    std::string all;
    std::vector<char> piece(7777);
    for (;;) {
      const auto n = (*reader)->read(all.size(), piece);
      if (!n) return n.message();
      if (*n == 0) return all;
      all.append(piece.data(), *n);
    }
  }

  TemporaryDirectory directory_;
  base::Limits limits_;
  base::ManualClock clock_;
  base::Metrics metrics_;
  base::IdGenerator ids_{clock_};
  FaultHook fault_;
  std::unique_ptr<Store> store_;
};

}  // namespace queue
