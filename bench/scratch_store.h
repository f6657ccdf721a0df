// A store in a directory that goes with it, and messages for it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "queue/store.h"

namespace bench {

class ScratchStore {
 public:
  // The usual map of the database is more than valgrind has room for.
  explicit ScratchStore(std::int64_t map_octets = base::Limits().queue_map_size)
      : directory_(std::filesystem::temp_directory_path() / "relayd-bench-XXXXXX") {
    if (mkdtemp(directory_.data()) == nullptr) std::abort();
    limits.queue_map_size = map_octets;
    open();
  }
  ~ScratchStore() {
    store.reset();
    std::filesystem::remove_all(directory_);
  }
  ScratchStore(const ScratchStore&) = delete;
  ScratchStore& operator=(const ScratchStore&) = delete;

  void open() {
    store.reset();
    queue::StoreOptions options;
    options.directory = directory_ + "/queue";
    options.limits = &limits;
    options.clock = &clock;
    options.metrics = &metrics;
    store = queue::Store::open(std::move(options)).take();
  }
  queue::NewMessage message(std::int64_t number, std::size_t octets) {
    queue::NewMessage message;
    message.message.id = ids.next();
    message.message.tenant = "tenant" + std::to_string(number % 100);
    message.message.domain = "d" + std::to_string(number % 100) + ".example";
    message.message.arrival_ms = clock.wall_ms();
    message.message.envelope.mail_from = "support@d.example";
    message.message.envelope.recipients.push_back(
        {"c" + std::to_string(number) + "@customer.example", "", ""});
    message.note.message_id = "<" + std::to_string(number) + "@d.example>";
    message.content = store->begin_content();
    (void)message.content->append(std::string(octets, 'x'));
    message.deliveries.emplace_back().destination = "smarthost:d" + std::to_string(number % 100);
    message.deliveries.back().next_attempt_ms = number;
    message.deliveries.back().recipients.push_back({});
    return message;
  }
  [[nodiscard]] double segments_mb() const {
    double octets = 0;
    for (const auto& file : std::filesystem::directory_iterator(directory_ + "/queue/segments")) {
      std::error_code gone;
      const auto size = file.file_size(gone);
      octets += gone ? 0 : static_cast<double>(size);
    }
    return octets / 1e6;
  }

 private:
  std::string directory_;

 public:
  base::SystemClock clock;
  base::Limits limits;
  base::Metrics metrics;
  base::IdGenerator ids{clock};
  std::unique_ptr<queue::Store> store;
};

}  // namespace bench
