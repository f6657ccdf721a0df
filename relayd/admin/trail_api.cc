// `trail` and `explain`: where a message is, where it has been, and what it waits for.
#include <algorithm>
#include <memory>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "relayd/admin/accounts_json.h"
#include "relayd/admin/api.h"
#include "relayd/admin/api_support.h"
#include "relayd/admin/explanation.h"
#include "relayd/admin/trail_words.h"
#include "relayd/admin/why.h"

namespace admin {
namespace {

using nlohmann::json;

constexpr std::size_t kMessagesMax = 100;

json moment(std::int64_t wall_ms) { return wall_ms == 0 ? json(nullptr) : json(rfc3339(wall_ms)); }

std::string kept_for(const AdminOptions& options) {
  return options.trail_keep_ms == 0
             ? "no trail is kept (queue.trail)"
             : "the trail goes back " + base::format_duration_ms(options.trail_keep_ms) +
                   " (queue.trail)";
}

json message_trail(const AdminOptions& options, const base::Id& id,
                   const std::vector<queue::TrailStep>& steps) {
  const auto deliveries = options.store->deliveries(id);
  const bool is_held = std::any_of(deliveries.begin(), deliveries.end(), [](const auto& one) {
    return one.state == queue::State::kHeld;
  });
  json rows = json::array();
  const queue::TrailOrigin* origin = origin_of(steps);
  for (const queue::TrailStep& step : steps) rows.push_back(step_json(step, origin));
  const std::size_t all = steps.empty() ? 0 : steps.back().number + std::size_t{1};
  return {{"id", id.str()},
          {"state", deliveries.empty() ? "gone"
                    : is_held          ? "held"
                                       : "waiting"},
          {"steps", std::move(rows)},
          {"steps_left_out", all - steps.size()}};
}

std::vector<base::Id> find_ids(const AdminOptions& options, const std::string& query) {
  std::vector<base::Id> ids;
  if (const auto id = base::Id::parse(query)) ids.push_back(*id);
  std::vector<std::string> terms = {query};
  if (const std::string normal = normal_address(query); normal != query) terms.push_back(normal);
  for (const std::string& term : terms) {
    for (const base::Id& id : options.store->find_by_term(term, kMessagesMax + 1)) {
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
  }
  return ids;
}

void trail(const AdminOptions& options, const ExchangePtr& exchange) {
  const std::string query(base::trim(query_value(*exchange, "q")));
  if (query.empty()) {
    return exchange->refuse(400,
                            "q: a queue id, a Message-ID, an address, the id that the "
                            "smarthost gave, or a ticket's id is expected");
  }
  json messages = json::array();
  const std::vector<base::Id> ids = find_ids(options, query);
  for (const base::Id& id : ids) {
    if (messages.size() == kMessagesMax) break;
    const auto steps = options.store->trail(id);
    if (steps.empty() && !options.store->find(id)) continue;
    messages.push_back(message_trail(options, id, steps));
  }
  if (messages.empty()) {
    return exchange->refuse(
        404, "nothing is known of \"" + base::printable(query, 200) + "\"; " + kept_for(options));
  }
  exchange->reply(
      200,
      {{"query", query}, {"messages", std::move(messages)}, {"more", ids.size() > kMessagesMax}});
}

json delivery_json(const Situation& situation) {
  const Explanation why = explain(situation);
  return {{"index", situation.delivery.index},
          {"destination", situation.delivery.destination},
          {"state", situation.delivery.state == queue::State::kHeld ? "held" : "waiting"},
          {"waits_for", queue::name(why.wait)},
          {"since", moment(why.since_ms)},
          {"next_attempt", moment(why.next_attempt_ms)},
          {"attempts", situation.delivery.attempts},
          {"last_reply", why.last_reply},
          {"before", situation.before},
          {"advice", why.advice},
          {"text", why.text}};
}

void explain_what_is_gone(const AdminOptions& options, const ExchangePtr& exchange,
                          const base::Id& id) {
  const auto steps = options.store->trail(id);
  if (steps.empty()) {
    return exchange->refuse(
        404, "there is no message " + id.str() + " in the queue, and " + kept_for(options));
  }
  const Fate fate = explain_gone(id.str(), steps);
  exchange->reply(200, {{"id", id.str()},
                        {"state", "gone"},
                        {"outcome", fate.outcome},
                        {"gone", moment(fate.gone_ms)},
                        {"deliveries", json::array()},
                        {"text", fate.text}});
}

void explain_one(const AdminOptions& options, const ExchangePtr& exchange) {
  const auto id = base::Id::parse(exchange->arguments[0]);
  if (!id) return exchange->refuse(404, exchange->arguments[0] + " is no queue id");
  const auto message = options.store->find(*id);
  if (!message) return explain_what_is_gone(options, exchange, *id);
  ask_why(options, *message, [exchange, id = *id](const std::vector<Situation>& situations) {
    json deliveries = json::array();
    std::string text;
    bool is_held = false;
    for (const Situation& situation : situations) {
      deliveries.push_back(delivery_json(situation));
      text += (text.empty() ? "" : "\n") + deliveries.back()["text"].get<std::string>();
      is_held = is_held || situation.delivery.state == queue::State::kHeld;
    }
    exchange->reply(200, {{"id", id.str()},
                          {"state", is_held ? "held" : "waiting"},
                          {"outcome", nullptr},
                          {"gone", nullptr},
                          {"deliveries", std::move(deliveries)},
                          {"text", text}});
  });
}

}  // namespace

void register_trail(Router& router, const AdminOptions& options) {
  router.add("GET", "/v1/trail",
             [&options](const ExchangePtr& exchange) { trail(options, exchange); });
  router.add("GET", "/v1/explain/*",
             [&options](const ExchangePtr& exchange) { explain_one(options, exchange); });
}

}  // namespace admin
