#include "relayd/admin/router.h"

#include <utility>

#include "core/base/bytes.h"
#include "core/base/log.h"

namespace admin {
namespace {

bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& path,
             std::vector<std::string>& arguments) {
  arguments.clear();
  if (pattern.size() != path.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == "*") {
      arguments.push_back(path[i]);
    } else if (pattern[i] != path[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

void Router::add(std::string_view method, std::string_view path, Handler handler) {
  Route route{std::string(method), {}, std::move(handler)};
  for (const std::string_view segment : base::parts(path, '/')) {
    if (!segment.empty()) route.path.emplace_back(segment);
  }
  routes_.push_back(std::move(route));
}

void Router::dispatch(const ExchangePtr& exchange) const {
  std::string allowed;
  for (const Route& route : routes_) {
    std::vector<std::string> arguments;
    if (!matches(route.path, exchange->path, arguments)) continue;
    if (route.method != exchange->method) {
      allowed += (allowed.empty() ? "" : ", ") + route.method;
      continue;
    }
    exchange->arguments = std::move(arguments);
    try {
      route.handler(exchange);
    } catch (const nlohmann::json::exception& error) {
      exchange->refuse(400,
                       std::string("the request's JSON is not what it should be: ") + error.what());
    } catch (const std::exception& error) {
      base::log_error("admin request failed", {{"error", error.what()}});
      exchange->refuse(500, "relayd could not do this; its log says why");
    }
    return;
  }
  if (!allowed.empty()) {
    exchange->refuse(405, exchange->method + " is not possible here, only " + allowed);
  } else {
    exchange->refuse(404, "there is nothing at this path of the admin API");
  }
}

}  // namespace admin
