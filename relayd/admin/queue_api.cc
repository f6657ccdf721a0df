// The queue as the operator sees and changes it. Changes are answered after their commit: the store
// calls back on the committer's thread, the answer is posted to the loop.
#include <algorithm>
#include <utility>

#include "core/base/bytes.h"
#include "relayd/admin/accounts_json.h"
#include "relayd/admin/api.h"
#include "relayd/admin/api_support.h"

namespace admin {
namespace {

using nlohmann::json;
using Change = std::function<void(const base::Id&, queue::Store::OnDone)>;

std::string_view name(queue::State state) {
  return state == queue::State::kHeld ? "held" : "waiting";
}

std::string_view name(queue::RecipientState state) {
  switch (state) {
    case queue::RecipientState::kDelivered:
      return "delivered";
    case queue::RecipientState::kFailed:
      return "failed";
    default:
      return "pending";
  }
}

std::string_view name(queue::Kind kind) {
  switch (kind) {
    case queue::Kind::kOutbound:
      return "outbound";
    case queue::Kind::kBounce:
      return "bounce";
    default:
      return "inbound";
  }
}

json message_json(const queue::Message& message) {
  json recipients = json::array();
  for (const auto& recipient : message.envelope.recipients) recipients.push_back(recipient.address);
  json row = {{"id", message.id.str()},
              {"kind", name(message.kind)},
              {"tenant", message.tenant},
              {"domain", message.domain},
              {"support_address", message.support_address},
              {"mail_from", message.envelope.mail_from},
              {"recipients", std::move(recipients)},
              {"size", message.body.size()},
              {"trust", message.trust},
              {"arrival", rfc3339(message.arrival_ms)},
              {"expiry", rfc3339(message.expiry_ms)}};
  if (!message.related_id.empty()) row["related_id"] = message.related_id;
  return row;
}

void add_delivery(json& row, const queue::Delivery& delivery) {
  row["state"] = name(delivery.state);
  row["destination"] = delivery.destination;
  row["attempts"] = delivery.attempts;
  row["next_attempt"] = delivery.state == queue::State::kHeld
                            ? json(nullptr)
                            : json(rfc3339(delivery.next_attempt_ms));
  row["last_reply"] = delivery.last_reply;
}

json delivery_json(const queue::Message& message, const queue::Delivery& delivery) {
  json row = {{"index", delivery.index}, {"recipients", json::array()}};
  add_delivery(row, delivery);
  for (const queue::RecipientStatus& recipient : delivery.recipients) {
    const auto& all = message.envelope.recipients;
    row["recipients"].push_back(
        {{"address", recipient.index < all.size() ? all[recipient.index].address : ""},
         {"state", name(recipient.state)},
         {"last_reply", recipient.last_reply}});
  }
  return row;
}

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

void list(const AdminOptions& options, const ExchangePtr& exchange) {
  queue::Filter filter;
  filter.tenant = query_value(*exchange, "tenant");
  filter.destination = query_value(*exchange, "destination");
  if (const std::string domain = query_value(*exchange, "domain"); !domain.empty()) {
    filter.domain = normal_domain(domain);
  }
  if (const std::string state = query_value(*exchange, "state"); !state.empty()) {
    if (state != "waiting" && state != "held") {
      return exchange->refuse(400, "state: waiting or held is expected");
    }
    filter.state = state == "held" ? queue::State::kHeld : queue::State::kWaiting;
  }
  const auto most = row_limit(options, exchange);
  if (!most) return;
  filter.rows_max = *most;
  const queue::Listing listing = options.store->list(filter);
  json rows = json::array();
  for (const queue::Row& row : listing.rows) {
    json entry = message_json(row.message);
    add_delivery(entry, row.delivery);
    rows.push_back(std::move(entry));
  }
  exchange->reply(200, {{"messages", std::move(rows)}, {"total", listing.total}});
}

void show(const AdminOptions& options, const ExchangePtr& exchange) {
  const auto id = message_id(exchange);
  if (!id) return;
  const auto message = options.store->find(*id);
  if (!message) return exchange->refuse(404, "there is no message " + id->str() + " in the queue");
  json row = message_json(*message);
  row["envid"] = message->envelope.envid;
  row["helo"] = message->helo;
  row["remote_ip"] = message->remote_ip;
  row["deliveries"] = json::array();
  for (const queue::Delivery& delivery : options.store->deliveries(*id)) {
    row["deliveries"].push_back(delivery_json(*message, delivery));
  }
  exchange->reply(200, row);
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
