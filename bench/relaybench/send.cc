#include "relaybench/send.h"

#include <netdb.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <stdexcept>

#include "core/base/bytes.h"
#include "relaybench/id_file.h"
#include "relaybench/plot.h"
#include "relaybench/report.h"
#include "relaybench/send_session.h"
#include "relaybench/signals.h"
#include "relaybench/tls.h"

namespace relaybench {
namespace {

// The shortest time between two looks at who may go: fewer look-ups than messages past that rate.
constexpr double kPaceSeconds = 50e-6;
// Permits that were not used are kept for so long.
constexpr double kBurstSeconds = 0.1;
// How long the sessions may take to say good-bye when the time is up and nothing comes any more.
constexpr std::int64_t kDrainMs = 10 * base::kSecond;

// Before the run there is nobody to keep waiting: the system's resolver may block.
net::SocketAddress resolve(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (failure != 0) {
    throw std::runtime_error("cannot find " + host + ": " + ::gai_strerror(failure));
  }
  net::SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  ::freeaddrinfo(found);
  return address;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || line.empty()) {
    throw std::runtime_error("cannot read a password from " + path);
  }
  return line;
}

// Fires once, to some microseconds; net::Timer knows milliseconds.
class FineTimer {
 public:
  FineTimer(net::Loop& loop, std::function<void()> on_fire)
      : fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
        watch_(loop, fd_, [this, on_fire = std::move(on_fire)](bool, bool) {
          std::uint64_t fired = 0;
          if (::read(fd_, &fired, sizeof fired) == sizeof fired) on_fire();
        }) {
    if (fd_ < 0)
      throw std::runtime_error("cannot make a timer: is the limit of open files reached?");
    watch_.want(true, false);
  }
  ~FineTimer() { ::close(fd_); }
  FineTimer(const FineTimer&) = delete;
  FineTimer& operator=(const FineTimer&) = delete;

  void start(double seconds) const {
    const double wait = std::max(seconds, kPaceSeconds);
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(wait);
    when.it_value.tv_nsec =
        static_cast<long>((wait - static_cast<double>(when.it_value.tv_sec)) * 1e9);
    ::timerfd_settime(fd_, 0, &when, nullptr);
  }

 private:
  const int fd_;
  net::FdWatch watch_;
};

class Run final : public SendRun {
 public:
  Run(const SendOptions& options, MessageSource& source)
      : options_(options),
        ids_(options.ids),
        pace_(loop, [this] { pace(); }),
        second_(loop, [this] { each_second(); }),
        end_(loop, [this] { stop(); }),
        drain_(loop, [this] { loop.stop(); }) {
    const std::size_t colon = options.to.rfind(':');
    host = options.to.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    }
    address = resolve(host, options.to.substr(colon + 1));
    if (options.tls != smtp::ClientTls::kNone) {
      auto context = client_context(options.ca, options.insecure);
      if (!context) throw std::runtime_error(context.message());
      tls = context.take();
    }
    if (!options.password_file.empty()) password = first_line(options.password_file);
    for (std::uint64_t i = 0; i < options.sessions; ++i) {
      sessions_.push_back(std::make_unique<SendSession>(*this, options, source));
    }
  }

  void run() {
    const Signals signals(loop, {SIGINT, SIGTERM}, [this](int) { stop(); });
    tally.begin(now_us());
    refilled_us_ = tally.started_us;
    tokens_ = 1;
    open_ = sessions_.size();
    for (const auto& session : sessions_) session->start();
    second_.start_ms(base::kSecond);
    if (options_.seconds > 0) end_.start_ms(static_cast<std::int64_t>(options_.seconds * 1000));
    loop.run();
    tally.ended_us = now_us();
    ids_.finish();
  }

  // ---- For the sessions
  Permit permit(SendSession& session) override {
    if (stopping || (options_.messages > 0 && given_ >= options_.messages)) return Permit::kNone;
    if (options_.rate > 0) {
      refill();
      if (tokens_ < 1) {
        if (parked_.empty()) pace_.start((1 - tokens_) / options_.rate);
        parked_.push_back(&session);
        return Permit::kWait;
      }
      tokens_ -= 1;
    }
    ++given_;
    if (given_ == options_.messages) stop_soon();
    return Permit::kGo;
  }

  void accepted(const std::string& id) override { ids_.add(id); }

  void ended(SendSession&) override {
    if (--open_ == 0) loop.stop();
  }

 private:
  void refill() {
    const std::uint64_t now = now_us();
    tokens_ += options_.rate * static_cast<double>(now - refilled_us_) / 1e6;
    tokens_ = std::min(tokens_, std::max(1.0, options_.rate * kBurstSeconds));
    refilled_us_ = now;
  }

  // Each message has its own moment, so that half of a server's load is not all of it for half of
  // the time.
  void pace() {
    refill();
    while (tokens_ >= 1 && !parked_.empty()) {
      SendSession* session = parked_.front();
      parked_.pop_front();
      session->go_on();
    }
    if (!parked_.empty()) pace_.start((1 - tokens_) / options_.rate);
  }

  void each_second() {
    const std::uint64_t now = now_us();
    for (const auto& session : sessions_) session->look(now);
    ids_.flush();
    if (!options_.quiet) std::cerr << progress_line(tally, now, open_) << std::flush;
    tally.second = Histogram(4);
    second_.start_ms(base::kSecond);
  }

  // From inside a session's call, which must end first.
  void stop_soon() {
    loop.defer([this] { stop(); });
  }

  void stop() {
    if (std::exchange(stopping, true)) return;
    drain_.start_ms(kDrainMs);
    parked_.clear();
    for (const auto& session : sessions_) session->stop();
  }

  const SendOptions& options_;
  IdFile ids_;
  std::vector<std::unique_ptr<SendSession>> sessions_;
  std::deque<SendSession*> parked_;
  std::size_t open_ = 0;
  std::uint64_t given_ = 0;
  double tokens_ = 0;
  std::uint64_t refilled_us_ = 0;
  FineTimer pace_;
  net::Timer second_, end_, drain_;
};

}  // namespace

int run_send(const SendOptions& options) {
  auto sizes = parse_sizes(options.sizes);
  if (!sizes) throw std::runtime_error(sizes.message());
  auto source = MessageSource::open({options.from, options.rcpt, sizes.take(), options.folder});
  if (!source) throw std::runtime_error(source.message());
  Run run(options, *source);
  run.run();
  if (run.tally.chunking_missing) {
    std::cerr << "relaybench: the server offers no CHUNKING with PIPELINING; DATA was used\n";
  }
  std::cout << (options.json ? json_report(options, run.tally) : table_report(options, run.tally));
  if (!options.plot.empty()) {
    std::ofstream file(options.plot);
    file << plot_svg(run.tally, options.to);
    if (!file.flush()) throw std::runtime_error("cannot write " + options.plot);
  }
  return run.tally.accepted > 0 ? 0 : 1;
}

}  // namespace relaybench
