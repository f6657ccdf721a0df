// One attempt to hand one ticket over: look the host up, read the MIME parts, render, sign, post.
// Every pass over the message goes in slices of a loop's turn, so that a large message does not
// hold up the other tickets, and holds one buffer of it at a time. Loop's thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "certs/tls_context.h"
#include "core/base/clock.h"
#include "core/base/limits.h"
#include "core/dns/resolver.h"
#include "core/net/loop.h"
#include "policy/accounts.h"
#include "queue/store.h"
#include "relayd/tickets/curl_loop.h"
#include "relayd/tickets/endpoint.h"
#include "relayd/tickets/mime_parts.h"
#include "relayd/tickets/outcome.h"
#include "relayd/tickets/ticket.h"
#include "relayd/tickets/webhook.h"

namespace tickets {

// What all attempts share; outlives them.
struct AttemptServices {
  net::Loop* loop = nullptr;
  CurlLoop* curl = nullptr;
  dns::Resolver* resolver = nullptr;
  const base::Clock* clock = nullptr;
  const base::Limits* limits = nullptr;
  std::vector<std::string> marker_headers;  // see automated_reason()
  certs::TlsContext trust;                  // whose certificate store verifies https back ends
  static constexpr std::size_t kScratchOctets = 64 * 1024;
  // For whoever has the loop's turn; holds nothing from one turn to the next.
  std::unique_ptr<char[]> scratch = std::make_unique_for_overwrite<char[]>(kScratchOctets);
};

struct AttemptJob {
  queue::Message message;
  std::shared_ptr<const queue::ContentReader> content;
  policy::TicketFormat format = policy::TicketFormat::kJson;
  Endpoint endpoint;
  std::vector<std::string> secrets;  // newest first
  std::string webhook_id;            // the same on every attempt
};

class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  using OnAnswer = std::function<void(const Answer&)>;
  Attempt(const AttemptServices& services, AttemptJob job, OnAnswer on_answer);
  ~Attempt();  // lets go of a transfer in flight; `on_answer` is not called any more
  // `on_answer` comes exactly once, never before start() returns.
  void start();
  // Why the ticket is flagged as automated; "" where it is not, or is not rendered yet.
  [[nodiscard]] const std::string& automated() const { return automated_; }

 private:
  enum class Step { kMore, kDone, kFailed };

  void later(void (Attempt::*step)());
  void fail(std::string error, bool connected);
  void resolved(const dns::HostAddresses& found);
  void walk();
  Step walk_slice();
  void render();
  void sign();
  Step sign_slice();
  bool sign_at_once();
  [[nodiscard]] std::span<char> scratch() const;
  void send();
  void set_options(CURL* easy);
  void set_fields(CURL* easy);
  void watch_progress();
  void transferred(CURLcode code);
  void answered();

  static std::size_t on_read(char* into, std::size_t size, std::size_t count, void* self);
  static int on_seek(void* self, curl_off_t offset, int origin);
  static std::size_t on_header(char* line, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self);
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t sent);
  static CURLcode on_tls(CURL*, void* context, void* self);

  struct ListFree {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  using List = std::unique_ptr<curl_slist, ListFree>;

  const AttemptServices& services_;
  AttemptJob job_;
  OnAnswer on_answer_;
  Answer answer_;

  std::uint64_t offset_ = 0;  // of the pass in hand
  std::optional<MimeWalk> walk_;
  MimeParts parts_;
  Ticket ticket_;
  std::string automated_;
  std::optional<Body> body_;
  std::int64_t timestamp_s_ = 0;
  std::optional<WebhookSigner> signer_;
  std::string signature_;
  std::string wire_;  // the whole body, where it is small; else it is made again while it is sent

  List addresses_, fields_;
  Easy easy_;
  bool in_curl_ = false;
  std::array<char, CURL_ERROR_SIZE> curl_error_{};
  std::string read_error_;
  net::Timer progress_timer_;
  std::int64_t sent_ = 0;
  std::int64_t progress_ms_ = 0;  // the steady time of the last octet that was taken
  std::int64_t started_ms_ = 0;
  std::size_t response_octets_ = 0;
  bool answer_known_ = false;  // a final status and its fields have come
  std::string response_retry_after_, response_ticket_id_;
};

}  // namespace tickets
