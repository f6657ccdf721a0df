// One request of the admin API and its answer. It may be answered later (after a commit, after a
// DNS query) and outlives a client that has gone; then the answer falls on the floor. Answered on
// the loop's thread only; references may be held and dropped anywhere.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

struct evhttp_request;

namespace admin {

class Exchange {
 public:
  explicit Exchange(evhttp_request* request);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  std::string method;                        // "GET"
  std::vector<std::string> path;             // decoded segments: {"v1", "domains", "acme.example"}
  std::map<std::string, std::string> query;  // decoded
  std::string authorization;                 // the header's value
  std::string body;
  bool well_formed = true;  // false: the URI could not be decoded

  // The arguments of the matched route, in order; set by the router.
  std::vector<std::string> arguments;

  void reply(int status, const nlohmann::json& answer);
  void reply_text(int status, std::string_view content_type, std::string_view text);
  // {"error": sentence}
  void refuse(int status, std::string_view sentence);
  [[nodiscard]] bool answered() const { return request_ == nullptr; }

  // The server goes away: nothing is sent any more.
  void abandon();
  // Called once, when it is answered.
  std::function<void(int status)> on_answered;

 private:
  evhttp_request* request_;
};

using ExchangePtr = std::shared_ptr<Exchange>;

}  // namespace admin
