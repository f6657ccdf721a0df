#include "relayd/tickets/curl_loop.h"

#include <unistd.h>

#include <stdexcept>
#include <utility>

namespace tickets {

CurlLoop::CurlLoop(net::Loop& loop, std::size_t connections_max)
    : loop_(loop), multi_(nullptr), timer_(loop, [this] { act(CURL_SOCKET_TIMEOUT, 0); }) {
  // Idempotent and thread-safe in this libcurl.
  if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) multi_ = curl_multi_init();
  if (multi_ == nullptr) throw std::runtime_error("libcurl cannot be started: out of memory?");
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlLoop::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlLoop::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(connections_max));
}

CurlLoop::~CurlLoop() {
  for (const auto& [easy, on_done] : transfers_) curl_multi_remove_handle(multi_, easy);
  curl_multi_cleanup(multi_);  // calls on_close for what it kept
}

bool CurlLoop::start(CURL* easy, OnDone on_done) {
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &CurlLoop::on_close);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
  transfers_[easy] = std::move(on_done);
  if (curl_multi_add_handle(multi_, easy) == CURLM_OK) return true;
  transfers_.erase(easy);
  return false;
}

void CurlLoop::cancel(CURL* easy) {
  if (transfers_.erase(easy) > 0) curl_multi_remove_handle(multi_, easy);
}

int CurlLoop::on_socket(CURL*, curl_socket_t fd, int what, void* self_pointer, void*) {
  auto& self = *static_cast<CurlLoop*>(self_pointer);
  if (what == CURL_POLL_REMOVE) {
    self.watches_.erase(fd);
    return 0;
  }
  auto& watch = self.watches_[fd];
  if (!watch) {
    watch =
        std::make_unique<net::FdWatch>(self.loop_, fd, [&self, fd](bool readable, bool writable) {
          self.act(fd, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
        });
  }
  watch->want((what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0);
  return 0;
}

int CurlLoop::on_timer(CURLM*, long delay_ms, void* self_pointer) {
  auto& self = *static_cast<CurlLoop*>(self_pointer);
  if (delay_ms < 0) {
    self.timer_.stop();
  } else {
    self.timer_.start_ms(delay_ms);  // 0 too: fires from the loop, not here
  }
  return 0;
}

int CurlLoop::on_close(void* self_pointer, curl_socket_t fd) {
  static_cast<CurlLoop*>(self_pointer)->watches_.erase(fd);
  return ::close(fd);
}

void CurlLoop::act(curl_socket_t fd, int what) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, what, &running);
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* easy = message->easy_handle;
    const CURLcode code = message->data.result;  // the message goes with the handle
    curl_multi_remove_handle(multi_, easy);
    const auto at = transfers_.find(easy);
    if (at == transfers_.end()) continue;
    const OnDone on_done = std::move(at->second);
    transfers_.erase(at);
    on_done(code);
  }
}

}  // namespace tickets
