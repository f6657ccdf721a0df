#include "relaybench/http_sink.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "certs/digest.h"
#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/net/listener.h"
#include "core/net/stream.h"
#include "relaybench/bench_id.h"
#include "relaybench/id_file.h"
#include "relaybench/signals.h"

namespace relaybench {

// clang-format off
const std::array<MisbehaviourRule, 7> kHttpRules = {{
  {"status", MisbehaviourRule::Takes::kNumber, "", "this status in place of 200"},
  {"retry-after", MisbehaviourRule::Takes::kNumber, "", "Retry-After, in seconds, with every status that is not 2xx"},
  {"hang", MisbehaviourRule::Takes::kNothing, "", "takes the request and never answers"},
  {"drop", MisbehaviourRule::Takes::kNothing, "", "takes the request and closes"},
  {"slow", MisbehaviourRule::Takes::kNumber, "", "so many milliseconds before the answer"},
  {"redirect", MisbehaviourRule::Takes::kNothing, "", "302 to another path"},
  {"huge-answer", MisbehaviourRule::Takes::kNothing, "", "200 with a body of 1 GiB"},
}};
// clang-format on

namespace {

constexpr net::StreamLimits kStream{64 * 1024, 1024 * 1024};
constexpr std::int64_t kCloseMs = 5 * base::kSecond;
constexpr std::uint64_t kBodyOctetsMax = 256 * base::kMiB;
constexpr std::size_t kHugePiece = 64 * 1024;
// Standard Webhooks leaves the tolerance to the receiver; its libraries take five minutes.
constexpr std::int64_t kToleranceSeconds = 5 * 60;

struct Counts {
  std::uint64_t connections = 0, requests = 0, taken = 0, octets = 0;
  std::uint64_t bad_signatures = 0, altered = 0;
  std::map<int, std::uint64_t> by_status;
};

struct Place {
  Place(const HttpSinkOptions& o, Misbehaviours m)
      : options(o), misbehaviours(std::move(m)), ids(o.ids) {}
  const HttpSinkOptions& options;
  Misbehaviours misbehaviours;
  IdFile ids;
  std::vector<std::string> keys;  // of the secrets
  net::Loop loop;
  Counts counts;
};

struct Request {
  std::string method;
  std::string webhook_id, timestamp, signature;
  std::optional<std::uint64_t> length;
  bool expects_continue = false;
  bool close = false;
  std::string body;
};

// The request line and the fields we look at. False where it is not HTTP.
bool read_head(std::string_view head, Request& request) {
  const std::size_t line_end = head.find("\r\n");
  const std::string_view line = head.substr(0, line_end);
  if (line.find(" HTTP/1.") == std::string_view::npos) return false;
  request.method = line.substr(0, line.find(' '));
  request.close = line.ends_with("HTTP/1.0");
  std::string_view rest = head.substr(std::min(line_end + 2, head.size()));
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find("\r\n"), rest.size());
    const std::string_view field = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 2, rest.size()));
    const std::size_t colon = field.find(':');
    if (colon == std::string_view::npos) return false;
    const std::string name = base::ascii_lower(field.substr(0, colon));
    const std::string_view value = base::trim(field.substr(colon + 1));
    if (name == "content-length") request.length = base::parse_unsigned(value);
    if (name == "webhook-id") request.webhook_id = value;
    if (name == "webhook-timestamp") request.timestamp = value;
    if (name == "webhook-signature") request.signature = value;
    if (name == "expect") request.expects_continue = base::iequals(value, "100-continue");
    if (name == "connection") request.close = base::iequals(value, "close");
  }
  return true;
}

// Standard Webhooks 1.0.0: one of the signatures is that of one of the secrets, and the time stamp
// is of now.
bool signature_fits(const Request& request, const std::vector<std::string>& keys) {
  const auto stamp = base::parse_unsigned(request.timestamp);
  const std::int64_t now = std::time(nullptr);
  if (!stamp || *stamp > INT64_MAX / 2 ||
      std::abs(now - static_cast<std::int64_t>(*stamp)) > kToleranceSeconds) {
    return false;
  }
  const std::string signed_text = request.webhook_id + "." + request.timestamp + "." + request.body;
  for (const std::string& key : keys) {
    const std::string wanted = "v1," + base::base64_encode(certs::hmac_sha256(key, signed_text));
    for (const std::string_view offered : base::parts(request.signature, ' ')) {
      if (base::constant_time_equal(offered, wanted)) return true;
    }
  }
  return false;
}

// In a JSON ticket the message as received is the member `raw`, in base64; other formats are taken
// as they are. Nothing where there is no such message.
std::optional<std::string> raw_message(std::string_view body) {
  if (!body.starts_with('{')) return std::nullopt;
  constexpr std::string_view kMember = "\"raw\":\"";
  const std::size_t at = body.rfind(kMember);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = body.substr(at + kMember.size());
  return base::base64_decode(rest.substr(0, rest.find('"')));
}

class Session final : public net::StreamHandler {
 public:
  Session(Place& place, int fd, std::function<void(Session*)> on_end)
      : place_(place),
        stream_(place.loop, *this, kStream),
        delay_(place.loop, [this] { answer(); }),
        on_end_(std::move(on_end)) {
    stream_.adopt(fd);
  }

  std::size_t on_input(std::span<char> bytes) override {
    const std::string_view input(bytes.data(), bytes.size());
    std::size_t used = 0;
    while (!ended_ && !busy_ && used < input.size()) {
      const std::size_t step = in_body_ ? take_body(input.substr(used)) : take_head(input, used);
      if (step == 0) break;
      used += step;
    }
    return silent_ || ended_ ? bytes.size() : used;
  }

  void on_output_empty() override {
    while (huge_left_ > 0 && !ended_) {
      const std::size_t piece = std::min<std::uint64_t>(huge_left_, kHugePiece);
      if (!stream_.write(std::string(piece, 'x'))) return;
      huge_left_ -= piece;
      if (stream_.output_pending() > 0) return;
    }
    if (std::exchange(was_huge_, false)) next_request();
  }

  void on_closed(std::string_view) override { end(); }

 private:
  // Octets used; 0: more is needed.
  std::size_t take_head(std::string_view input, std::size_t used) {
    const std::string_view rest = input.substr(used);
    const std::size_t end = rest.find("\r\n\r\n");
    if (end == std::string_view::npos) {
      if (used == 0 && input.size() >= kStream.input_octets_max) refuse(431);
      return 0;
    }
    request_ = {};
    if (!read_head(rest.substr(0, end), request_)) {
      refuse(400);
    } else if (request_.method == "POST" && !request_.length) {
      refuse(411);
    } else if (request_.length.value_or(0) > kBodyOctetsMax) {
      refuse(413);
    } else {
      in_body_ = true;
      if (request_.expects_continue) stream_.write("HTTP/1.1 100 Continue\r\n\r\n");
      take_body({});
    }
    return end + 4;
  }

  std::size_t take_body(std::string_view input) {
    const std::uint64_t length = request_.length.value_or(0);
    const std::size_t taken = std::min<std::uint64_t>(length - request_.body.size(), input.size());
    request_.body += input.substr(0, taken);
    if (request_.body.size() == length) {
      in_body_ = false;
      request_done();
    }
    return taken;
  }

  [[nodiscard]] const Misbehaviour* strike(HttpRule rule) {
    return place_.misbehaviours.strike(static_cast<std::size_t>(rule));
  }

  void request_done() {
    ++place_.counts.requests;
    if (strike(HttpRule::kDrop) != nullptr) return end();
    if (strike(HttpRule::kHang) != nullptr) {
      busy_ = silent_ = true;
      return;
    }
    if (const Misbehaviour* slow = strike(HttpRule::kSlow)) {
      busy_ = true;
      stream_.pause_reading();
      delay_.start_ms(slow->number);
      return;
    }
    answer();
  }

  void answer() {
    if (ended_) return;
    if (request_.method != "POST") return respond(200, "", "relaybench http-sink\n");
    if (!place_.keys.empty() && !signature_fits(request_, place_.keys)) {
      ++place_.counts.bad_signatures;
      return respond(401, "", "the webhook signature does not fit\n");
    }
    if (strike(HttpRule::kRedirect) != nullptr) return respond(302, "Location: /elsewhere\r\n", "");
    if (const Misbehaviour* status = strike(HttpRule::kStatus)) {
      const int code = static_cast<int>(std::clamp<std::int64_t>(status->number, 200, 599));
      return respond(code, "", "misbehaving\n");
    }
    if (strike(HttpRule::kHuge) == nullptr) return respond(200, "", "taken\n");
    note_taken();
    ++place_.counts.by_status[200];
    stream_.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(base::kGiB) + "\r\n\r\n");
    busy_ = was_huge_ = true;
    stream_.pause_reading();
    huge_left_ = base::kGiB;
    place_.loop.defer([this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) on_output_empty();
    });
  }

  void respond(int status, const std::string& fields, std::string_view body) {
    ++place_.counts.by_status[status];
    std::string text = "HTTP/1.1 " + std::to_string(status) + " relaybench\r\n" + fields;
    if (status >= 200 && status < 300 && request_.method == "POST") {
      note_taken();
    } else if (const Misbehaviour* after = strike(HttpRule::kRetryAfter)) {
      text += "Retry-After: " + std::to_string(after->number) + "\r\n";
    }
    if (request_.close) text += "Connection: close\r\n";
    if (status != 204 && status != 304) {
      text += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
      text += body;
    } else {
      text += "\r\n";
    }
    stream_.write(text);
    if (request_.close) {
      stream_.close_gracefully(kCloseMs);
      return end();
    }
    next_request();
  }

  void next_request() {
    busy_ = false;
    stream_.resume_reading();
  }

  void note_taken() {
    ++place_.counts.taken;
    place_.counts.octets += request_.body.size();
    if (place_.ids.wanted()) {
      MessageTrace trace;
      const auto raw = raw_message(request_.body);
      if (raw) trace.feed(*raw);
      std::string id = trace.id();
      if (id.empty()) id = find_id(request_.body);
      std::string words = request_.webhook_id.empty() ? "-" : request_.webhook_id;
      if (trace.altered()) {
        ++place_.counts.altered;
        words += " altered";
      }
      place_.ids.add(id.empty() ? "-" : id, words);
    }
    if (place_.counts.taken == place_.options.requests) {
      place_.loop.defer([&loop = place_.loop] { loop.stop(); });
    }
  }

  void refuse(int status) {
    request_.close = true;
    request_.method.clear();
    respond(status, "", "");
  }

  void end() {
    if (std::exchange(ended_, true)) return;
    on_end_(this);
  }

  Place& place_;
  net::Stream stream_;
  net::Timer delay_;
  std::function<void(Session*)> on_end_;
  Request request_;
  bool in_body_ = false;
  bool busy_ = false;    // an answer is under way
  bool silent_ = false;  // it never comes
  bool was_huge_ = false;
  std::uint64_t huge_left_ = 0;
  bool ended_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class HttpSink {
 public:
  HttpSink(const HttpSinkOptions& options, Misbehaviours misbehaviours)
      : place_(options, std::move(misbehaviours)), second_(place_.loop, [this] {
          place_.ids.flush();
          second_.start_ms(base::kSecond);
        }) {
    constexpr std::string_view kPrefix = "whsec_";
    for (const std::string& secret : options.secrets) {
      const auto key = secret.starts_with(kPrefix)
                           ? base::base64_decode(std::string_view(secret).substr(kPrefix.size()))
                           : std::nullopt;
      if (!key || key->empty()) {
        throw std::runtime_error("--secret: a webhook secret is whsec_ and base64");
      }
      place_.keys.push_back(*key);
    }
  }

  void run() {
    const Signals signals(place_.loop, {SIGINT, SIGTERM, SIGUSR1, SIGHUP}, [this](int number) {
      if (number == SIGHUP) return reread();
      if (number != SIGUSR1) return place_.loop.stop();
      place_.ids.flush();
      std::cerr << report() << std::flush;
    });
    const auto address = net::SocketAddress::parse(place_.options.listen);
    if (!address) throw std::runtime_error(address.message());
    auto listener = net::Listener::open(place_.loop, *address,
                                        [this](int fd, const net::SocketAddress&) { accept(fd); });
    if (!listener) throw std::runtime_error(listener.message());
    std::cerr << "relaybench http-sink: listening on http://" << (*listener)->address().str()
              << std::endl;
    second_.start_ms(base::kSecond);
    place_.loop.run();
    place_.ids.finish();
    std::cout << report() << std::flush;
  }

 private:
  void reread() {
    const base::Status read = place_.misbehaviours.reread();
    std::cerr << "relaybench http-sink: "
              << (read ? "misbehaviours read anew" : "nothing changed: " + read.message())
              << std::endl;
  }

  void accept(int fd) {
    ++place_.counts.connections;
    auto session = std::make_unique<Session>(place_, fd, [this](Session* done) { ended(done); });
    Session* raw = session.get();
    sessions_.emplace(raw, std::move(session));
  }

  void ended(Session* session) {
    const auto at = sessions_.find(session);
    place_.loop.defer([gone = std::shared_ptr<Session>(std::move(at->second))] {});
    sessions_.erase(at);
  }

  [[nodiscard]] std::string report() const {
    const Counts& c = place_.counts;
    nlohmann::ordered_json counts = {{"connections", c.connections},
                                     {"requests", c.requests},
                                     {"taken", c.taken},
                                     {"octets", c.octets},
                                     {"bad_signatures", c.bad_signatures},
                                     {"altered", c.altered}};
    for (const auto& [status, count] : c.by_status) {
      counts["status " + std::to_string(status)] = count;
    }
    if (place_.options.json) return counts.dump() + "\n";
    std::string out;
    for (const auto& [name, value] : counts.items()) {
      out += name + std::string(16 - name.size(), ' ') + value.dump() + "\n";
    }
    return out;
  }

  Place place_;
  net::Timer second_;
  std::unordered_map<Session*, std::unique_ptr<Session>> sessions_;
};

}  // namespace

int run_http_sink(const HttpSinkOptions& options) {
  auto misbehaviours = Misbehaviours::parse(kHttpRules, options.misbehave, options.misbehave_file);
  if (!misbehaviours) throw std::runtime_error(misbehaviours.message());
  HttpSink(options, misbehaviours.take()).run();
  return 0;
}

}  // namespace relaybench
