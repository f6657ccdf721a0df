#include "core/net/stream_state.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace net {
namespace {

// Buffer fills of one stream before the others get their turn.
constexpr int kFillsPerTurn = 16;
// Gathered replies leave early when they have reached the size of a TLS record.
constexpr std::size_t kGatherOctetsMax = 16 * 1024;
// Output capacity that a stream may keep when it has nothing to send.
constexpr std::size_t kIdleCapacity = 1024;

// The buffer that sockets are read into: one a thread, lent for the time of one on_input, so that
// an idle connection has none. Taken while it is lent out, another is made.
class Scratch {
 public:
  explicit Scratch(std::size_t octets) : octets_(octets) {
    if (spare_octets >= octets) {
      bytes_ = std::move(spare);
      octets_ = std::exchange(spare_octets, 0);
    }
    if (!bytes_) bytes_ = std::make_unique_for_overwrite<char[]>(octets_);
  }
  ~Scratch() {
    if (octets_ <= spare_octets) return;
    spare = std::move(bytes_);
    spare_octets = octets_;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] char* data() const { return bytes_.get(); }

 private:
  static thread_local std::unique_ptr<char[]> spare;
  static thread_local std::size_t spare_octets;
  std::unique_ptr<char[]> bytes_;
  std::size_t octets_;
};
thread_local std::unique_ptr<char[]> Scratch::spare;
thread_local std::size_t Scratch::spare_octets = 0;

void arm(event& which, bool& armed, bool wanted) {
  if (armed == wanted) return;
  armed = wanted;
  if (wanted) {
    event_add(&which, nullptr);
  } else {
    event_del(&which);
  }
}

}  // namespace

void StreamState::attach(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  channel.attach(fd);
  event_assign(&read_event, loop.base(), fd, EV_READ | EV_PERSIST, on_event, this);
  event_assign(&write_event, loop.base(), fd, EV_WRITE | EV_PERSIST, on_event, this);
}

void StreamState::connect(const SocketAddress& address) {
  peer = address;
  const auto give_up = [&](int number) {
    failure = "cannot connect to " + address.str() + ": " + std::generic_category().message(number);
    schedule();
  };
  const int fd =
      ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return give_up(errno);
  attach(fd);
  connecting = true;
  // Where it succeeds at once the socket is writable, and the loop says so.
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 &&
      errno != EINPROGRESS && errno != EINTR) {
    return give_up(errno);
  }
  update_interest();
}

void StreamState::start_tls(bool prepared) {
  if (!prepared) {
    failure = channel.reason();
  } else if (!unread.empty()) {
    failure = "the peer sent data in the clear behind the start of TLS";
  } else {
    tls = Tls::kStarting;
    plain_pending = pending();
  }
  if (!in_input) schedule();
}

void StreamState::release_socket() {
  if (channel.fd() < 0) return;
  arm(read_event, read_armed, false);
  arm(write_event, write_armed, false);
  channel.close();
}

// By value: the text may be the channel's, which closing it changes.
// NOLINTNEXTLINE(performance-unnecessary-value-param)
void StreamState::end(std::string reason) {
  StreamHandler* const last = std::exchange(handler, nullptr);
  release_socket();
  std::string().swap(output);
  output_begin = 0;
  std::string().swap(unread);
  if (last != nullptr) last->on_closed(reason);
}

void StreamState::schedule() {
  if (std::exchange(scheduled, true)) return;
  loop.defer([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->scheduled = false;
    self->advance(true, true);
  });
}

void StreamState::resume() {
  if (!paused || !alive()) return;
  paused = false;
  const bool nothing_to_do = !input_waits && !in_input && unread.empty() && !read_wants_write &&
                             !input_over && write_failure.empty() && failure.empty();
  if (nothing_to_do) return;
  offer_again = true;
  schedule();
}

void StreamState::update_interest() {
  if (channel.fd() < 0) return;
  bool read = false;
  bool write = false;
  if (lingering) {
    read = said_goodbye || write_wants_read;
    write = !said_goodbye && !write_wants_read;
  } else if (!alive() || !failure.empty()) {
  } else if (connecting) {
    write = true;
  } else if (tls == Tls::kStarting) {
    write = plain_pending > 0;
  } else if (tls == Tls::kHandshaking) {
    write = handshake_wants_write;
    read = !write;
  } else {
    // A pause costs nothing where the peer waits too: only what comes meanwhile ends the watch.
    read = (!(paused && input_waits) && !input_over && !read_wants_write) || write_wants_read;
    write = (pending() > 0 && !write_wants_read) || (read_wants_write && !paused);
  }
  arm(read_event, read_armed, read);
  arm(write_event, write_armed, write);
}

void StreamState::on_event(int, short what, void* self) {
  const auto state = static_cast<StreamState*>(self)->shared_from_this();
  state->advance((what & EV_READ) != 0, (what & EV_WRITE) != 0);
}

void StreamState::advance(bool readable, bool writable) {
  if (lingering) return advance_linger();
  if (!alive()) return;
  if (readable) input_waits = true;
  if (!failure.empty()) return end(std::exchange(failure, {}));
  if (connecting) {
    if (writable) advance_connect();
  } else if (tls == Tls::kStarting || tls == Tls::kHandshaking) {
    advance_tls();
  } else {
    if (writable || write_wants_read) {
      output_blocked = false;
      flush_output();
      report_output_empty();
    }
    if (alive() && (readable || read_wants_write || !write_failure.empty())) pump_input();
    if (alive() && failure.empty() && tls == Tls::kStarting) advance_tls();  // begun in on_input
    if (alive()) end_if_over();
  }
  if (alive() || lingering) update_interest();
}

void StreamState::advance_connect() {
  int number = 0;
  socklen_t length = sizeof number;
  if (::getsockopt(channel.fd(), SOL_SOCKET, SO_ERROR, &number, &length) != 0) number = errno;
  if (number == 0) {
    // Woken for nothing (an advance that was scheduled earlier): the peer is not there yet.
    sockaddr_storage other{};
    socklen_t other_length = sizeof other;
    if (::getpeername(channel.fd(), reinterpret_cast<sockaddr*>(&other), &other_length) != 0)
      return;
  } else {
    return end("cannot connect to " + peer.str() + ": " + std::generic_category().message(number));
  }
  connecting = false;
  handler->on_connected();
  if (!alive()) return;
  // What was written before the connection was there.
  if (pending() > 0) schedule();
}

void StreamState::advance_tls() {
  if (tls == Tls::kStarting) {
    if (plain_pending > 0) flush_output();
    if (!write_failure.empty()) return end(write_failure);
    if (plain_pending > 0) return;
    tls = Tls::kHandshaking;
  }
  const IoResult result = channel.handshake();
  handshake_wants_write = result.state == Io::kWantWrite;
  if (result.state == Io::kWantRead || result.state == Io::kWantWrite) return;
  if (result.state != Io::kDone) return end(channel.reason());
  tls = Tls::kDone;
  output_blocked = false;
  input_waits = true;
  handler->on_tls();
  if (!alive()) return;
  // The peer's first words may have come with the last of the handshake: the socket stays silent.
  flush_output();
  report_output_empty();
  if (alive()) pump_input();
  if (alive()) channel.push();
  if (alive()) end_if_over();
}

void StreamState::pump_input() {
  for (int fills = 0; fills < kFillsPerTurn; ++fills) {
    if (!fill_and_offer()) return;
  }
  schedule();
}

// One buffer: read, offered, the rest put aside. True where there may be more to read now.
bool StreamState::fill_and_offer() {
  if (paused || tls == Tls::kStarting || tls == Tls::kHandshaking) return false;
  const Scratch scratch(limits.input_octets_max);
  std::size_t used = unread.size();
  std::memcpy(scratch.data(), unread.data(), used);
  bool fresh = std::exchange(offer_again, false);
  bool drained = input_over;
  read_wants_write = false;
  while (!drained && used < limits.input_octets_max) {
    const std::size_t room = limits.input_octets_max - used;
    const IoResult result = channel.read(scratch.data() + used, room);
    used += result.octets;
    fresh = fresh || result.octets > 0;
    switch (result.state) {
      case Io::kDone:
        // A short read of a plain socket has emptied it; TLS ends only with a want.
        drained = !channel.inside_tls() && result.octets < room;
        break;
      case Io::kWantWrite:
        read_wants_write = true;
        [[fallthrough]];
      case Io::kWantRead:
        drained = true;
        break;
      case Io::kEnd:
      case Io::kError:
        input_over = drained = true;
        input_over_in_order = result.state == Io::kEnd;
        input_over_reason = channel.reason();
        break;
    }
  }
  input_waits = !drained;
  if (used == 0 || !fresh) return false;
  return offer(scratch.data(), used) && !drained;
}

bool StreamState::offer(char* bytes, std::size_t octets) {
  const Tls tls_before = tls;
  unread.clear();
  in_input = true;
  const std::size_t taken = handler->on_input({bytes, octets});
  in_input = false;
  if (!alive()) return false;
  const std::size_t left = taken <= octets ? octets - taken : 0;
  if (taken > octets) {
    failure = "the handler took more than it was given (a defect of this program)";
  } else if (tls != tls_before && left > 0) {
    failure = "the peer sent data in the clear behind the start of TLS";
  } else if (taken == 0 && octets == limits.input_octets_max && !paused && !offer_again) {
    failure = "the handler took nothing from a full buffer (a defect of this program)";
  }
  if (!failure.empty()) {
    schedule();
    return false;
  }
  if (left == 0) {
    if (unread.capacity() > kIdleCapacity) std::string().swap(unread);
  } else {
    if (unread.capacity() > left + kIdleCapacity) std::string().swap(unread);
    unread.assign(bytes + taken, left);
  }
  if (tls == Tls::kNone || tls == Tls::kDone) {
    flush_output();
    report_output_empty();
  }
  return alive();
}

// The end of what the peer says; what we have to say still goes out where the peer listens.
void StreamState::end_if_over() {
  if (!write_failure.empty()) return end(write_failure);
  if (!input_over || paused || offer_again) return;
  if (input_over_in_order && pending() > 0) return;
  end(input_over_reason);
}

bool StreamState::write(std::string_view bytes) {
  if (!alive() || !failure.empty() || !write_failure.empty() || lingering) return false;
  if (bytes.size() > limits.output_octets_max - std::min(pending(), limits.output_octets_max)) {
    owes_output_empty = pending() > 0;
    return false;
  }
  const bool ready = !connecting && (tls == Tls::kNone || tls == Tls::kDone) && channel.fd() >= 0;
  if (ready && !in_input && pending() == 0 && !output_blocked) {
    while (!bytes.empty()) {
      const IoResult result = channel.write(bytes.data(), bytes.size());
      bytes.remove_prefix(result.octets);
      if (result.state == Io::kDone) continue;
      output_blocked = true;
      write_wants_read = result.state == Io::kWantRead;
      if (result.state == Io::kEnd || result.state == Io::kError) {
        write_failure = channel.reason();
        schedule();
        return true;
      }
      break;
    }
    if (bytes.empty()) return true;
  }
  output.append(bytes);
  if (ready && in_input && !output_blocked && pending() >= kGatherOctetsMax) flush_output();
  if (!in_input && pending() > 0) owes_output_empty = true;
  if (!in_input) update_interest();
  return true;
}

void StreamState::flush_output() {
  while (pending() > 0 && !output_blocked && write_failure.empty()) {
    const std::size_t octets = tls == Tls::kStarting ? plain_pending : pending();
    if (octets == 0) break;
    const IoResult result = channel.write(output.data() + output_begin, octets);
    write_wants_read = false;
    switch (result.state) {
      case Io::kDone:
        output_begin += result.octets;
        if (tls == Tls::kStarting) plain_pending -= result.octets;
        break;
      case Io::kWantRead:
        write_wants_read = true;
        [[fallthrough]];
      case Io::kWantWrite:
        output_blocked = true;
        owes_output_empty = true;
        break;
      case Io::kEnd:
      case Io::kError:
        write_failure = channel.reason();
        output_begin = output.size();
        if (!lingering) schedule();
        break;
    }
  }
  if (pending() == 0) {
    output_begin = 0;
    write_wants_read = false;
    output.clear();
    if (output.capacity() > kIdleCapacity) std::string().swap(output);
  } else if (output_begin > output.size() / 2) {
    output.erase(0, output_begin);
    output_begin = 0;
  }
}

void StreamState::report_output_empty() {
  if (!alive() || pending() > 0 || !write_failure.empty()) return;
  if (std::exchange(owes_output_empty, false)) handler->on_output_empty();
}

void StreamState::linger(std::int64_t deadline_ms) {
  if (lingering) return;
  handler = nullptr;
  // Without a connection, or with a handshake under way, there is nobody to say anything to.
  if (channel.fd() < 0 || connecting || tls == Tls::kHandshaking || !write_failure.empty() ||
      !failure.empty()) {
    return release_socket();
  }
  if (tls == Tls::kStarting) {
    output.resize(output_begin + plain_pending);
    tls = Tls::kNone;
  }
  lingering = true;
  channel.gather();
  std::string().swap(unread);
  const auto self = shared_from_this();
  loop.keep(self);
  linger_timer.emplace(loop, [this] { finish_linger(); });
  linger_timer->start_ms(deadline_ms);
  advance_linger();
}

void StreamState::advance_linger() {
  const auto self = shared_from_this();
  if (!said_goodbye) {
    output_blocked = false;
    flush_output();
    if (!write_failure.empty()) return finish_linger();
    if (pending() > 0) return update_interest();
    if (channel.end_tls().state == Io::kWantWrite) return update_interest();
    said_goodbye = true;
    if (::shutdown(channel.fd(), SHUT_WR) != 0) return finish_linger();
  }
  // Raw, also inside TLS: it is thrown away. Closing with bytes unread would send a reset, which
  // may overtake our last reply on its way to the peer.
  const Scratch scratch(limits.input_octets_max);
  for (int fills = 0; fills < kFillsPerTurn; ++fills) {
    const ssize_t n = ::recv(channel.fd(), scratch.data(), limits.input_octets_max, 0);
    if (n > 0 || (n < 0 && errno == EINTR)) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    return finish_linger();
  }
  update_interest();
}

void StreamState::finish_linger() {
  const auto self = shared_from_this();
  lingering = false;
  if (linger_timer) linger_timer->stop();
  release_socket();
  loop.release(this);
}

}  // namespace net
