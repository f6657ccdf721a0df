// libcurl's multi interface driven by a net::Loop (curl's "multi_socket" way): its sockets are
// watched by FdWatch, its one timer is a net::Timer. Knows nothing of tickets. Loop's thread only.
//
// Guards against what libcurl does (docs: pitfalls): its timer of 0 ms never calls back inside the
// callback that sets it; sockets are kept by fd and let go before curl closes them, so that a
// number that is used again never meets an old watch; finished transfers are told from the loop,
// never from inside a curl callback.
#pragma once

#include <curl/curl.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <unordered_map>

#include "core/net/loop.h"

namespace tickets {

struct EasyFree {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, EasyFree>;

class CurlLoop {
 public:
  using OnDone = std::function<void(CURLcode)>;

  // `connections_max` are kept open between transfers. Throws std::runtime_error where libcurl is
  // unusable (at start only).
  CurlLoop(net::Loop& loop, std::size_t connections_max);
  ~CurlLoop();  // transfers in flight end without a call
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  // The handle stays the caller's and lives until `on_done` or cancel(). False where curl refuses
  // it.
  bool start(CURL* easy, OnDone on_done);
  // Not from inside a curl callback. `on_done` is not called any more.
  void cancel(CURL* easy);

 private:
  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void*);
  static int on_timer(CURLM*, long delay_ms, void* self);
  static int on_close(void* self, curl_socket_t fd);
  void act(curl_socket_t fd, int what);

  net::Loop& loop_;
  CURLM* multi_;
  net::Timer timer_;
  std::unordered_map<curl_socket_t, std::unique_ptr<net::FdWatch>> watches_;
  std::unordered_map<CURL*, OnDone> transfers_;
};

}  // namespace tickets
