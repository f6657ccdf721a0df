#include "relayd/admin/queue_fsck.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "relayd/admin/queue_json.h"

namespace admin {
namespace {

using nlohmann::json;

class Fsck {
 public:
  explicit Fsck(const AdminOptions& options) : options_(options) {}
  ~Fsck() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  Fsck(const Fsck&) = delete;
  Fsck& operator=(const Fsck&) = delete;

  void start(const ExchangePtr& exchange) {
    if (running_.exchange(true)) return exchange->refuse(409, "a check of the queue is running");
    if (thread_.joinable()) thread_.join();
    looked_at_ = 0;
    total_ = options_.store->message_count();
    {
      const std::lock_guard lock(mutex_);
      report_.reset();
    }
    thread_ = std::thread([this] { run(); });
    exchange->reply(200, progress());
  }
  [[nodiscard]] json progress() {
    json answer = {
        {"running", running_.load()}, {"looked_at", looked_at_.load()}, {"total", total_.load()}};
    const std::lock_guard lock(mutex_);
    answer["report"] = report_ ? report_json(*report_) : json(nullptr);
    return answer;
  }

 private:
  void run() {
    queue::CheckReport report = options_.store->check([this](std::uint64_t messages) {
      looked_at_ = messages;
      return !stop_;
    });
    {
      const std::lock_guard lock(mutex_);
      report_ = std::move(report);
    }
    running_ = false;
  }

  const AdminOptions& options_;
  std::atomic<bool> stop_ = false, running_ = false;
  std::atomic<std::uint64_t> looked_at_ = 0, total_ = 0;
  std::mutex mutex_;
  std::optional<queue::CheckReport> report_;  // of the last one
  std::thread thread_;
};

}  // namespace

void register_queue_fsck(Router& router, const AdminOptions& options) {
  const auto fsck = std::make_shared<Fsck>(options);
  router.add("POST", "/v1/queue/fsck",
             [fsck](const ExchangePtr& exchange) { fsck->start(exchange); });
  router.add("GET", "/v1/queue/fsck",
             [fsck](const ExchangePtr& exchange) { exchange->reply(200, fsck->progress()); });
}

}  // namespace admin
