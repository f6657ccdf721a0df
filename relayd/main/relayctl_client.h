// relayctl's side of the admin API: one HTTP request at a time, over the Unix socket or a URL.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace relayctl {

// Refused or failed: one line for stderr, exit code 1.
class Failure : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Target {
  std::string socket;  // path; or
  std::string url;     // "http://host:port", with
  std::string token;
};

class Client {
 public:
  explicit Client(Target target) : target_(std::move(target)) {}

  // `path` is segments, which are encoded here. The answer's JSON; throws Failure with the server's
  // own sentence, or why it could not be asked.
  nlohmann::json get(const std::vector<std::string>& path,
                     const std::vector<std::pair<std::string, std::string>>& query = {});
  nlohmann::json post(const std::vector<std::string>& path,
                      const nlohmann::json& body = nlohmann::json::object(),
                      const std::vector<std::pair<std::string, std::string>>& query = {});
  nlohmann::json remove(const std::vector<std::string>& path);

 private:
  nlohmann::json request(const char* method, const std::vector<std::string>& path,
                         const std::vector<std::pair<std::string, std::string>>& query,
                         const std::string* body);
  Target target_;
};

}  // namespace relayctl
