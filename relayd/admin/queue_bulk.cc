#include "relayd/admin/queue_bulk.h"

#include <atomic>
#include <memory>
#include <utility>

#include "relayd/admin/api_support.h"
#include "relayd/admin/queue_filter.h"

namespace admin {
namespace {

// One request. Each page is selected on the loop's thread and ordered at once; the last answer of a
// page starts the next one, so the queue never has more than a page of it to do.
class Bulk : public std::enable_shared_from_this<Bulk> {
 public:
  Bulk(const AdminOptions& options, queue::Store::Order order, queue::Filter filter,
       ExchangePtr exchange)
      : loop_(options.loop),
        store_(options.store),
        order_(order),
        filter_(std::move(filter)),
        exchange_(std::move(exchange)),
        reason_(query_value(*exchange_, "reason")),
        only_count_(query_value(*exchange_, "yes") != "true") {
    if (reason_.empty()) reason_ = "held by the operator";
  }

  void page() {
    if (exchange_->answered()) return;
    if (last_page_ || failed_ > 0) return answer();
    const queue::Selection selection = store_->select(filter_, after_);
    after_ = selection.next;
    last_page_ = !after_;
    count_ += selection.deliveries.size();
    if (only_count_ || selection.deliveries.empty()) return next_page();
    open_ = selection.deliveries.size();
    for (const queue::DeliveryName& delivery : selection.deliveries) {
      store_->order(order_, delivery, reason_,
                    [self = shared_from_this()](queue::Failure f) { self->done(f); });
    }
  }

 private:
  void next_page() {
    loop_->post([self = shared_from_this()] { self->page(); });
  }
  // The committer's thread.
  void done(queue::Failure failure) {
    if (failure == queue::Failure::kNone) {
      ++done_;
    } else if (failure != queue::Failure::kNotFound) {  // delivered meanwhile: nothing to do
      ++failed_;
    }
    if (--open_ == 0) next_page();
  }
  void answer() {
    if (only_count_) return exchange_->reply(200, {{"count", count_}, {"done", nullptr}});
    if (failed_ > 0) {
      return exchange_->refuse(503, "the queue could not be written: " + std::to_string(done_) +
                                        " done, then " + std::to_string(failed_) +
                                        " failed; see relayctl status");
    }
    exchange_->reply(200, {{"count", count_}, {"done", done_.load()}});
  }

  // By value: the last answers may come from the committer when the server and its options are
  // gone.
  net::Loop* const loop_;
  queue::Store* const store_;
  const queue::Store::Order order_;
  const queue::Filter filter_;
  const ExchangePtr exchange_;
  std::string reason_;
  const bool only_count_;
  std::optional<queue::DeliveryName> after_;
  bool last_page_ = false;
  std::uint64_t count_ = 0;
  std::atomic<std::uint64_t> open_ = 0, done_ = 0, failed_ = 0;
};

}  // namespace

void order_many(const AdminOptions& options, queue::Store::Order order,
                const ExchangePtr& exchange) {
  auto filter = queue_filter(options, exchange);
  if (!filter) return;
  if (filter->is_any()) {
    return exchange->refuse(400, "a filter is expected; without one it would be the whole queue");
  }
  std::make_shared<Bulk>(options, order, *std::move(filter), exchange)->page();
}

}  // namespace admin
