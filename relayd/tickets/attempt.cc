#include "relayd/tickets/attempt.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <array>

#include "core/base/bytes.h"
#include "core/base/id.h"
#include "relayd/tickets/automated.h"

namespace tickets {
namespace {

constexpr std::size_t kSmallBody = 64 * 1024;     // kept whole; curl sends it with the fields
constexpr std::size_t kSlice = 512 * 1024;        // octets of one turn
constexpr std::size_t kBodyStartMax = 2000;       // of the answer that is kept
constexpr std::int64_t kSlowestOctetsPerMs = 16;  // 16 KB a second, beside the wait for progress
constexpr std::int64_t kTimerSlackMs = 20;        // the loop's timers may be this early

}  // namespace

Attempt::Attempt(const AttemptServices& services, AttemptJob job, OnAnswer on_answer)
    : services_(services),
      job_(std::move(job)),
      on_answer_(std::move(on_answer)),
      progress_timer_(*services.loop, [this] { watch_progress(); }) {}

Attempt::~Attempt() {
  if (in_curl_) services_.curl->cancel(easy_.get());
}

void Attempt::later(void (Attempt::*step)()) {
  services_.loop->defer([weak = weak_from_this(), step] {
    if (const auto self = weak.lock()) (*self.*step)();
  });
}

void Attempt::fail(std::string error, bool connected) {
  answer_ = Answer{0, {}, {}, std::move(error), connected};
  later(&Attempt::answered);
}

void Attempt::answered() { std::exchange(on_answer_, nullptr)(answer_); }

void Attempt::start() {
  if (job_.endpoint.is_ip) return later(&Attempt::walk);
  if (job_.endpoint.is_localhost()) {
    dns::HostAddresses here;
    here.ips = {"127.0.0.1", "::1"};
    return resolved(here);
  }
  dns::resolve_host(*services_.resolver, job_.endpoint.host,
                    [weak = weak_from_this()](const dns::HostAddresses& found) {
                      if (const auto self = weak.lock()) self->resolved(found);
                    });
}

void Attempt::resolved(const dns::HostAddresses& found) {
  if (found.ips.empty()) return fail(found.error, /*connected=*/false);
  std::string entry = job_.endpoint.host + ":" + std::to_string(job_.endpoint.port) + ":";
  for (const std::string& ip : found.ips) {
    if (entry.back() != ':') entry += ',';
    entry += ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
  }
  addresses_.reset(curl_slist_append(nullptr, entry.c_str()));
  later(&Attempt::walk);
}

void Attempt::walk() {
  if (!walk_) walk_.emplace(*services_.limits);
  switch (walk_slice()) {
    case Step::kMore:
      return later(&Attempt::walk);
    case Step::kFailed:
      return;
    case Step::kDone:
      break;
  }
  parts_ = walk_->finish();
  walk_.reset();
  render();
}

std::span<char> Attempt::scratch() const {
  return {services_.scratch.get(), AttemptServices::kScratchOctets};
}

Attempt::Step Attempt::walk_slice() {
  // Only an event of a mail shows its parts; for the others the header section is enough.
  const bool whole =
      job_.format == policy::TicketFormat::kJson && job_.message.kind == queue::Kind::kInbound;
  for (std::size_t done = 0; done < kSlice;) {
    if (!whole && walk_->header_done()) return Step::kDone;
    const auto count = job_.content->read(offset_, scratch());
    if (!count.ok()) {
      fail("the stored message cannot be read: " + count.message(), true);
      return Step::kFailed;
    }
    if (*count == 0) return Step::kDone;
    walk_->feed(std::string_view(scratch().data(), *count));
    offset_ += *count;
    done += *count;
  }
  return Step::kMore;
}

void Attempt::render() {
  timestamp_s_ = services_.clock->wall_ms() / 1000;
  if (job_.message.kind == queue::Kind::kInbound) {
    automated_ = automated_reason(parts_, job_.message, services_.marker_headers);
  }
  switch (job_.format) {
    case policy::TicketFormat::kJson:
      ticket_ = render_json(job_.message, parts_, automated_);
      break;
    case policy::TicketFormat::kRfc822:
      ticket_ = render_rfc822(job_.message, automated_);
      break;
    case policy::TicketFormat::kMailgun:
      ticket_ =
          render_mailgun(job_.message, parts_, job_.secrets.empty() ? "" : job_.secrets.front(),
                         timestamp_s_, base::random_bytes(32), automated_);
      break;
  }
  parts_ = {};
  body_.emplace(std::move(ticket_.head), job_.content, ticket_.encoding, std::move(ticket_.tail));
  offset_ = 0;
  if (job_.format == policy::TicketFormat::kMailgun) return send();  // signed in its form
  auto signer = WebhookSigner::begin(job_.secrets, job_.webhook_id, timestamp_s_);
  if (!signer.ok()) return fail(signer.message(), true);
  signer_.emplace(signer.take());
  if (body_->size() > kSmallBody) return sign();
  if (sign_at_once()) send();
}

// A small body is made once, for its signature and for the back end.
bool Attempt::sign_at_once() {
  wire_.resize(static_cast<std::size_t>(body_->size()));
  while (offset_ < wire_.size()) {
    const auto count = body_->read(offset_, std::span(wire_).subspan(offset_));
    if (!count.ok()) {
      fail("the stored message cannot be read: " + count.message(), true);
      return false;
    }
    offset_ += *count;
  }
  signer_->update(wire_);
  signature_ = signer_->finish();
  signer_.reset();
  return true;
}

void Attempt::sign() {
  switch (sign_slice()) {
    case Step::kMore:
      return later(&Attempt::sign);
    case Step::kFailed:
      return;
    case Step::kDone:
      break;
  }
  signature_ = signer_->finish();
  signer_.reset();
  send();
}

Attempt::Step Attempt::sign_slice() {
  for (std::size_t done = 0; done < kSlice;) {
    const auto count = body_->read(offset_, scratch());
    if (!count.ok()) {
      fail("the stored message cannot be read: " + count.message(), true);
      return Step::kFailed;
    }
    if (*count == 0) return Step::kDone;
    signer_->update(std::string_view(scratch().data(), *count));
    offset_ += *count;
    done += *count;
  }
  return Step::kMore;
}

void Attempt::send() {
  offset_ = 0;
  easy_.reset(curl_easy_init());
  if (!easy_) return fail("libcurl cannot make a transfer: out of memory?", true);
  set_options(easy_.get());
  set_fields(easy_.get());
  started_ms_ = progress_ms_ = services_.clock->steady_ms();
  progress_timer_.start_ms(services_.limits->http_timeout);
  in_curl_ = services_.curl->start(easy_.get(), [this](CURLcode code) { transferred(code); });
  if (!in_curl_) fail("libcurl cannot start a transfer", true);
}

void Attempt::set_options(CURL* easy) {
  const auto set = [easy](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
  const Endpoint& endpoint = job_.endpoint;
  set(CURLOPT_ERRORBUFFER, curl_error_.data());
  set(CURLOPT_URL, endpoint.url.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROXY, "");  // not what the environment says
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_USERAGENT, "relayd");
  if (addresses_) set(CURLOPT_RESOLVE, addresses_.get());
  if (!endpoint.username.empty() || !endpoint.password.empty()) {
    set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
    set(CURLOPT_USERNAME, endpoint.username.c_str());
    set(CURLOPT_PASSWORD, endpoint.password.c_str());
  }
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(services_.limits->http_connect_timeout));
  set(CURLOPT_POST, 1L);
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body_->size()));
  if (!wire_.empty()) {
    set(CURLOPT_POSTFIELDS, wire_.data());
  } else {
    set(CURLOPT_READFUNCTION, &Attempt::on_read);
    set(CURLOPT_READDATA, static_cast<void*>(this));
    set(CURLOPT_SEEKFUNCTION, &Attempt::on_seek);
    set(CURLOPT_SEEKDATA, static_cast<void*>(this));
  }
  set(CURLOPT_HEADERFUNCTION, &Attempt::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &Attempt::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Attempt::on_progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(this));
  // The roots are read once, at start, not by curl for every connection.
  set(CURLOPT_CAINFO, static_cast<char*>(nullptr));
  set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
  set(CURLOPT_SSL_CTX_FUNCTION, &Attempt::on_tls);
  set(CURLOPT_SSL_CTX_DATA, static_cast<void*>(this));
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
}

void Attempt::set_fields(CURL* easy) {
  const auto add = [this](std::string_view name, std::string_view value) {
    const std::string line = std::string(name) + ": " + std::string(value);
    if (curl_slist* list = curl_slist_append(fields_.get(), line.c_str())) {
      (void)fields_.release();
      fields_.reset(list);
    }
  };
  add("webhook-id", job_.webhook_id);
  add("webhook-timestamp", std::to_string(timestamp_s_));
  if (!signature_.empty()) add("webhook-signature", signature_);
  for (const auto& [name, value] : ticket_.fields) add(name, value);
  // curl would wait a second for a 100 that many back ends never send.
  fields_.reset(curl_slist_append(fields_.release(), "Expect:"));
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fields_.get());
}

// Progress is an octet that the back end took. Once it has all of them, its answer is due: octets
// of an answer that trickles do not count, and a request that trickles has an end too.
void Attempt::watch_progress() {
  const std::int64_t now = services_.clock->steady_ms();
  const std::int64_t patience = services_.limits->http_timeout;
  const std::int64_t longest =
      2 * patience + static_cast<std::int64_t>(body_->size()) / kSlowestOctetsPerMs;
  const std::int64_t left = std::min(progress_ms_ + patience - now, started_ms_ + longest - now);
  if (left > kTimerSlackMs) return progress_timer_.start_ms(left);
  services_.curl->cancel(easy_.get());
  in_curl_ = false;
  transferred(CURLE_OPERATION_TIMEDOUT);
}

void Attempt::transferred(CURLcode code) {
  const auto self = shared_from_this();  // on_answer_ lets go of this object
  in_curl_ = false;
  progress_timer_.stop();
  if (answer_known_) {  // then it does not matter how the rest of the answer ended
    answer_.retry_after = response_retry_after_;
    answer_.ticket_id = response_ticket_id_;
    answer_.connected = true;
    return answered();
  }
  curl_off_t ready_us = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_PRETRANSFER_TIME_T, &ready_us);
  std::string text = read_error_.empty() ? std::string(curl_error_.data()) : read_error_;
  if (text.empty()) text = curl_easy_strerror(code);
  if (code == CURLE_PEER_FAILED_VERIFICATION) text = "its certificate was not accepted: " + text;
  if (code == CURLE_SSL_CONNECT_ERROR) text = "TLS handshake failed: " + text;
  if (code == CURLE_OPERATION_TIMEDOUT && sent_ > 0) {
    text = "no answer within " + std::to_string(services_.limits->http_timeout / 1000) + " s";
  }
  answer_ = Answer{0, {}, {}, std::move(text), ready_us > 0};
  answered();
}

std::size_t Attempt::on_read(char* into, std::size_t size, std::size_t count, void* self_pointer) {
  auto& self = *static_cast<Attempt*>(self_pointer);
  const auto got = self.body_->read(self.offset_, std::span(into, size * count));
  if (!got.ok()) {
    self.read_error_ = "the stored message cannot be read: " + got.message();
    return CURL_READFUNC_ABORT;
  }
  self.offset_ += *got;
  return *got;
}

int Attempt::on_seek(void* self_pointer, curl_off_t offset, int origin) {
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Attempt*>(self_pointer)->offset_ = static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

std::size_t Attempt::on_header(char* line, std::size_t size, std::size_t count,
                               void* self_pointer) {
  auto& self = *static_cast<Attempt*>(self_pointer);
  const std::string_view text(line, size * count);
  self.response_octets_ += text.size();
  if (self.response_octets_ > static_cast<std::size_t>(self.services_.limits->http_response))
    return 0;
  if (text.starts_with("HTTP/")) {
    self.response_retry_after_.clear();
    self.response_ticket_id_.clear();
  }
  constexpr std::string_view kTicketId = "x-ticket-id:";
  if (base::istarts_with(text, kTicketId)) {
    self.response_ticket_id_ = base::trim(text.substr(kTicketId.size()));
  }
  constexpr std::string_view kRetryAfter = "retry-after:";
  if (base::istarts_with(text, kRetryAfter)) {
    self.response_retry_after_ = base::trim(text.substr(kRetryAfter.size()));
  }
  if (base::trim(text).empty()) {
    long status = 0;
    curl_easy_getinfo(self.easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200) {
      self.answer_.status = static_cast<int>(status);
      self.answer_known_ = true;
    }
  }
  return text.size();
}

std::size_t Attempt::on_body(char* bytes, std::size_t size, std::size_t count, void* self_pointer) {
  auto& self = *static_cast<Attempt*>(self_pointer);
  const std::string_view text(bytes, size * count);
  std::string& start = self.answer_.body_start;
  start.append(text.substr(0, kBodyStartMax - std::min(kBodyStartMax, start.size())));
  self.response_octets_ += text.size();
  const bool enough =
      self.response_octets_ > static_cast<std::size_t>(self.services_.limits->http_response);
  return enough ? 0 : text.size();
}

int Attempt::on_progress(void* self_pointer, curl_off_t, curl_off_t, curl_off_t, curl_off_t sent) {
  auto& self = *static_cast<Attempt*>(self_pointer);
  if (sent != self.sent_) {
    self.sent_ = sent;
    self.progress_ms_ = self.services_.clock->steady_ms();
  }
  return 0;
}

CURLcode Attempt::on_tls(CURL*, void* context, void* self_pointer) {
  X509_STORE* store =
      SSL_CTX_get_cert_store(static_cast<Attempt*>(self_pointer)->services_.trust.get());
  X509_STORE_up_ref(store);
  SSL_CTX_set_cert_store(static_cast<SSL_CTX*>(context), store);
  return CURLE_OK;
}

}  // namespace tickets
