// The queue as the operator sees and changes it. Changes are answered after their commit: the store
// calls back on the committer's thread, the answer is posted to the loop.
#include <algorithm>
#include <utility>

#include "core/base/bytes.h"
#include "relayd/admin/api.h"
#include "relayd/admin/api_support.h"
#include "relayd/admin/queue_bulk.h"
#include "relayd/admin/queue_filter.h"
#include "relayd/admin/queue_fsck.h"
#include "relayd/admin/queue_json.h"
#include "relayd/admin/why.h"

namespace admin {
namespace {

using nlohmann::json;
using Change = std::function<void(const base::Id&, queue::Store::OnDone)>;

constexpr std::uint64_t kSliceOctets = base::kMiB;

// The number of ?limit=, or the most there is; 400 answered where it is none.
std::optional<std::size_t> row_limit(const AdminOptions& options, const ExchangePtr& exchange) {
  const auto most = static_cast<std::size_t>(options.limits->queue_list);
  const std::string text = query_value(*exchange, "limit");
  if (text.empty()) return most;
  const auto wanted = base::parse_unsigned(text);
  if (!wanted) {
    exchange->refuse(400, "limit: a whole number is expected");
    return std::nullopt;
  }
  return static_cast<std::size_t>(std::min<std::uint64_t>(*wanted, most));
}

std::optional<base::Id> message_id(const ExchangePtr& exchange) {
  const auto id = base::Id::parse(exchange->arguments[0]);
  if (!id) exchange->refuse(404, exchange->arguments[0] + " is no queue id");
  return id;
}

// LMDB reads nothing any more once its meta page could not be written: what cannot be seen then is
// not gone, and must not be reported as if it were. True: 503 has been answered.
bool refuse_where_unreadable(const AdminOptions& options, const ExchangePtr& exchange) {
  const queue::Health health = options.store->health();
  if (health.failure != queue::Failure::kFailed) return false;
  exchange->refuse(503, "the queue may not be readable before a restart: " + health.reason);
  return true;
}

void list(const AdminOptions& options, const ExchangePtr& exchange) {
  auto filter = queue_filter(options, exchange);
  const auto most = filter ? row_limit(options, exchange) : std::nullopt;
  if (!most) return;
  filter->rows_max = *most;
  const queue::Listing listing = options.store->list(*filter);
  if (listing.total == 0 && refuse_where_unreadable(options, exchange)) return;
  json rows = json::array();
  for (const queue::Row& row : listing.rows) rows.push_back(row_json(row.message, row.delivery));
  exchange->reply(200, {{"messages", std::move(rows)}, {"total", listing.total}});
}

// The message an argument names; null: 404 has been answered.
std::shared_ptr<const queue::Message> find(const AdminOptions& options,
                                           const ExchangePtr& exchange) {
  const auto id = message_id(exchange);
  if (!id) return nullptr;
  auto message = options.store->find(*id);
  if (!message && refuse_where_unreadable(options, exchange)) return nullptr;
  if (!message) exchange->refuse(404, "there is no message " + id->str() + " in the queue");
  return message;
}

void show(const AdminOptions& options, const ExchangePtr& exchange) {
  const auto message = find(options, exchange);
  if (!message) return;
  ask_why(options, *message,
          [exchange, message = *message, deliveries = options.store->deliveries(message->id)](
              const std::vector<Situation>& situations) {
            json answer = whole_json(message, deliveries);
            for (std::size_t i = 0; i < std::min(situations.size(), deliveries.size()); ++i) {
              answer["deliveries"][i]["waits_for"] = queue::name(explain(situations[i]).wait);
            }
            exchange->reply(200, answer);
          });
}

// A slice of prefix and content, base64: who wants all of it asks again behind what it has. So a
// large message is never in memory as a whole, here or there.
void content(const AdminOptions& options, const ExchangePtr& exchange) {
  const std::string from = query_value(*exchange, "offset");
  const auto offset = from.empty() ? std::optional<std::uint64_t>(0) : base::parse_unsigned(from);
  if (!offset) return exchange->refuse(400, "offset: a whole number is expected");
  const auto message = find(options, exchange);
  if (!message) return;
  const auto reader = options.store->open_content(*message);
  if (!reader) return exchange->refuse(500, reader.message());
  const std::uint64_t size = (*reader)->size();
  std::string slice(std::min(kSliceOctets, size - std::min(size, *offset)), '\0');
  const auto n = (*reader)->read(*offset, slice);
  if (!n) return exchange->refuse(500, n.message());
  exchange->reply(200, {{"size", size},
                        {"offset", *offset},
                        {"checksum", message->body.checksum},
                        {"octets", base::base64_encode(slice)}});
}

void answer(const ExchangePtr& exchange, const base::Id& id, queue::Failure failure) {
  switch (failure) {
    case queue::Failure::kNone:
      return exchange->reply(200, {{"id", id.str()}});
    case queue::Failure::kNotFound:
      return exchange->refuse(404, "there is no message " + id.str() + " in the queue");
    case queue::Failure::kBusy:
      return exchange->refuse(503, "the queue has too much to write; try again in a moment");
    case queue::Failure::kFull:
      return exchange->refuse(507, "there is no space left for the queue");
    case queue::Failure::kFailed:
      break;
  }
  exchange->refuse(500, "the queue could not be written; see relayctl status");
}

void change(const AdminOptions& options, const ExchangePtr& exchange, const Change& start) {
  const auto id = message_id(exchange);
  if (!id) return;
  start(*id, [loop = options.loop, exchange, id = *id](queue::Failure failure) {
    loop->post([exchange, id, failure] { answer(exchange, id, failure); });
  });
}

}  // namespace

void register_queue(Router& router, const AdminOptions& options) {
  router.add("GET", "/v1/queue",
             [&options](const ExchangePtr& exchange) { list(options, exchange); });
  register_queue_fsck(router, options);  // before "*"
  router.add("GET", "/v1/queue/*/content",
             [&options](const ExchangePtr& exchange) { content(options, exchange); });
  router.add("GET", "/v1/queue/*",
             [&options](const ExchangePtr& exchange) { show(options, exchange); });
  const auto add_change = [&](std::string_view method, std::string_view path, auto start) {
    router.add(method, path, [&options, start](const ExchangePtr& exchange) {
      change(options, exchange, [&](const base::Id& id, queue::Store::OnDone on_done) {
        start(*options.store, id, *exchange, std::move(on_done));
      });
    });
  };
  using queue::Store;
  for (const auto& [word, order] : {std::pair{"retry", Store::Order::kRetry},
                                    {"hold", Store::Order::kHold},
                                    {"release", Store::Order::kRelease},
                                    {"remove", Store::Order::kRemove}}) {
    router.add("POST", std::string("/v1/queue/") + word,
               [&options, order = order](const ExchangePtr& exchange) {
                 order_many(options, order, exchange);
               });
  }
  add_change("POST", "/v1/queue/*/retry",
             [](Store& store, const base::Id& id, const Exchange&, Store::OnDone on_done) {
               store.retry(id, std::move(on_done));
             });
  add_change("POST", "/v1/queue/*/hold",
             [](Store& store, const base::Id& id, const Exchange& exchange, Store::OnDone on_done) {
               const std::string reason = query_value(exchange, "reason");
               store.hold(id, reason.empty() ? "held by the operator" : reason, std::move(on_done));
             });
  add_change("POST", "/v1/queue/*/release",
             [](Store& store, const base::Id& id, const Exchange&, Store::OnDone on_done) {
               store.release(id, std::move(on_done));
             });
  add_change("DELETE", "/v1/queue/*",
             [](Store& store, const base::Id& id, const Exchange&, Store::OnDone on_done) {
               store.remove(id, std::move(on_done));
             });
}

}  // namespace admin
