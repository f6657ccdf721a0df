#include "relayd/main/relayctl_client.h"

#include <curl/curl.h>

#include <memory>

namespace relayctl {
namespace {

constexpr std::size_t kAnswerOctets = 256UL * 1024 * 1024;
constexpr long kConnectSeconds = 10;
constexpr long kAnswerSeconds = 60;

struct CurlFree {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string escape(CURL* curl, const std::string& text) {
  char* escaped = curl_easy_escape(curl, text.c_str(), static_cast<int>(text.size()));
  if (escaped == nullptr) throw Failure("out of memory");
  std::string result = escaped;
  curl_free(escaped);
  return result;
}

std::size_t take(char* data, std::size_t, std::size_t size, void* into) {
  auto& answer = *static_cast<std::string*>(into);
  if (answer.size() + size > kAnswerOctets) return 0;
  answer.append(data, size);
  return size;
}

}  // namespace

nlohmann::json Client::get(const std::vector<std::string>& path,
                           const std::vector<std::pair<std::string, std::string>>& query) {
  return request("GET", path, query, nullptr);
}

nlohmann::json Client::post(const std::vector<std::string>& path, const nlohmann::json& body,
                            const std::vector<std::pair<std::string, std::string>>& query) {
  const std::string text = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return request("POST", path, query, &text);
}

nlohmann::json Client::remove(const std::vector<std::string>& path) {
  return request("DELETE", path, {}, nullptr);
}

nlohmann::json Client::request(const char* method, const std::vector<std::string>& path,
                               const std::vector<std::pair<std::string, std::string>>& query,
                               const std::string* body) {
  const std::unique_ptr<CURL, CurlFree> handle(curl_easy_init());
  if (handle == nullptr) throw Failure("libcurl does not start");
  CURL* curl = handle.get();
  const std::string where = target_.url.empty() ? "socket " + target_.socket : target_.url;
  std::string url = target_.url.empty() ? "http://relayd" : target_.url;
  while (url.ends_with('/')) url.pop_back();
  for (const std::string& segment : path) url += "/" + escape(curl, segment);
  char separator = '?';
  for (const auto& [key, value] : query) {
    url += separator + escape(curl, key) + "=" + escape(curl, value);
    separator = '&';
  }
  curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
  if (!target_.token.empty()) {
    list = curl_slist_append(list, ("Authorization: Bearer " + target_.token).c_str());
  }
  const std::unique_ptr<curl_slist, CurlFree> headers(list);
  std::string answer;
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, kAnswerSeconds);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  if (target_.url.empty()) {
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, target_.socket.c_str());
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
  }
  if (body != nullptr) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
  }
  const CURLcode code = curl_easy_perform(curl);
  if (code != CURLE_OK) {
    throw Failure("cannot reach relayd at " + where + ": " +
                  (reason[0] != '\0' ? reason : curl_easy_strerror(code)) + "; is it running?");
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  nlohmann::json document = nlohmann::json::parse(answer, nullptr, false);
  if (status == 200 && !document.is_discarded()) return document;
  if (document.is_object() && document.contains("error") && document["error"].is_string()) {
    throw Failure(document["error"].get<std::string>());
  }
  throw Failure(where + " answered with status " + std::to_string(status) +
                " and nothing that relayctl understands");
}

}  // namespace relayctl
