// The table of routes: method and path to handler. A path is segments, "*" stands for an argument.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "relayd/admin/exchange.h"

namespace admin {

using Handler = std::function<void(const ExchangePtr&)>;

class Router {
 public:
  // "GET", "/v1/domains/*"
  void add(std::string_view method, std::string_view path, Handler handler);
  // Calls the handler, or answers 404 or 405. What a handler throws is answered with 400 (JSON that
  // is not what it should be) or 500.
  void dispatch(const ExchangePtr& exchange) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> path;
    Handler handler;
  };
  std::vector<Route> routes_;
};

}  // namespace admin
