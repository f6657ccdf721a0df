#include "relayd/tickets/endpoint.h"

#include <curl/curl.h>

#include <memory>

#include "core/base/bytes.h"
#include "core/net/socket_address.h"

namespace tickets {
namespace {

struct UrlFree {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlFree>;

std::string part(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, flags) != CURLUE_OK || text == nullptr) return {};
  std::string out = text;
  curl_free(text);
  return out;
}

}  // namespace

base::Result<Endpoint> Endpoint::parse(const std::string& url) {
  const Url parsed(curl_url());
  if (!parsed) return base::error("out of memory");
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return base::error("the back end's URL cannot be read: expected http(s)://host[:port]/path");
  }
  const std::string scheme = part(parsed.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return base::error("the back end's URL must begin with http:// or https://");
  }
  Endpoint out;
  out.username = part(parsed.get(), CURLUPART_USER, CURLU_URLDECODE);
  out.password = part(parsed.get(), CURLUPART_PASSWORD, CURLU_URLDECODE);
  curl_url_set(parsed.get(), CURLUPART_USER, nullptr, 0);
  curl_url_set(parsed.get(), CURLUPART_PASSWORD, nullptr, 0);
  curl_url_set(parsed.get(), CURLUPART_FRAGMENT, nullptr, 0);
  out.url = part(parsed.get(), CURLUPART_URL);
  out.host = base::ascii_lower(part(parsed.get(), CURLUPART_HOST));
  if (out.host.starts_with('[') && out.host.ends_with(']')) {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  const auto port = base::parse_unsigned(part(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
  out.port = static_cast<unsigned>(port.value_or(0));
  if (out.host.empty() || out.port == 0) return base::error("the back end's URL names no host");
  out.is_ip = net::SocketAddress::from_ip(out.host, out.port).ok();
  return out;
}

bool Endpoint::is_localhost() const { return host == "localhost" || host.ends_with(".localhost"); }

}  // namespace tickets
