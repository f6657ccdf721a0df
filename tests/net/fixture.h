// What the tests of core/net share: a loop that is run until something has happened, a handler that
// remembers, TCP pairs on loopback.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "certs/tls_context.h"
#include "core/net/listener.h"
#include "core/net/loop.h"
#include "core/net/stream.h"
#include "support/test_pki.h"

// The sanitizer of undefined behaviour needs descriptors for its own checks and errs without any.
#if defined(__SANITIZE_ADDRESS__)
#define SKIP_WHERE_DESCRIPTORS_ARE_NEEDED() GTEST_SKIP() << "the sanitizer needs descriptors"
#else
#define SKIP_WHERE_DESCRIPTORS_ARE_NEEDED() static_cast<void>(0)
#endif

namespace test {

class Recorder : public net::StreamHandler {
 public:
  void on_connected() override {
    connected = true;
    if (when_connected) when_connected();
  }
  void on_tls() override {
    tls = true;
    if (when_tls) when_tls();
  }
  std::size_t on_input(std::span<char> bytes) override {
    ++offers;
    largest_offer = std::max(largest_offer, bytes.size());
    if (when_input) return when_input(bytes);
    input.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_output_empty() override {
    ++empties;
    if (when_empty) when_empty();
  }
  void on_closed(std::string_view why) override {
    ++closes;
    reason = why;
    if (when_closed) when_closed();
  }

  bool connected = false;
  bool tls = false;
  int offers = 0;
  int empties = 0;
  int closes = 0;
  std::size_t largest_offer = 0;
  std::string input;
  std::string reason;
  std::function<void()> when_connected, when_tls, when_empty, when_closed;
  std::function<std::size_t(std::span<char>)> when_input;
};

class NetTest : public testing::Test {
 protected:
  void SetUp() override { ::signal(SIGPIPE, SIG_IGN); }

  // Runs the loop until `done` says so; false when that takes too long.
  bool run_until(const std::function<bool()>& done, int timeout_ms = 10'000) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    bool happened = false;
    net::Timer look(loop, [&] {
      happened = done();
      if (happened || std::chrono::steady_clock::now() > until) return loop.stop();
      look.start_ms(1);
    });
    look.start_ms(0);
    loop.run();
    return happened;
  }
  void run_ms(int ms) {
    net::Timer timer(loop, [&] { loop.stop(); });
    timer.start_ms(ms);
    loop.run();
  }

  struct Pair {
    int ours = -1;    // non-blocking, for a Stream
    int theirs = -1;  // blocking, for the test
  };
  static Pair tcp_pair(int buffer_octets = 0) {
    const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (buffer_octets > 0) {
      ::setsockopt(listening, SOL_SOCKET, SO_SNDBUF, &buffer_octets, sizeof buffer_octets);
      ::setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &buffer_octets, sizeof buffer_octets);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listening, name, length) != 0 || ::listen(listening, 1) != 0) std::abort();
    ::getsockname(listening, name, &length);
    Pair pair;
    pair.theirs = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (buffer_octets > 0) {
      ::setsockopt(pair.theirs, SOL_SOCKET, SO_SNDBUF, &buffer_octets, sizeof buffer_octets);
      ::setsockopt(pair.theirs, SOL_SOCKET, SO_RCVBUF, &buffer_octets, sizeof buffer_octets);
    }
    if (::connect(pair.theirs, name, length) != 0) std::abort();
    pair.ours = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ::close(listening);
    return pair;
  }
  static void send_raw(int fd, std::string_view text) {
    ASSERT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // What has arrived at `fd` so far; waits a moment for the first of it.
  static std::string receive_raw(int fd, int wait_ms = 1000) {
    std::string text;
    pollfd ready{fd, POLLIN, 0};
    while (::poll(&ready, 1, text.empty() ? wait_ms : 0) > 0) {
      char bytes[65536];
      const ssize_t n = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
      if (n <= 0) break;
      text.append(bytes, static_cast<std::size_t>(n));
    }
    return text;
  }
  // Closes with a reset instead of FIN.
  static void reset(int fd) {
    const linger now{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd);
  }
  static bool says(const std::string& text, const std::string& words) {
    return text.find(words) != std::string::npos;
  }

  net::Loop loop;
};

// Two Streams that talk to each other, plain or inside TLS.
class TalkTest : public NetTest {
 protected:
  struct End {
    Recorder handler;
    std::unique_ptr<net::Stream> stream;
  };

  void make_streams(net::StreamLimits limits = {}, int socket_buffer_octets = 0) {
    const Pair pair = tcp_pair(socket_buffer_octets);
    ASSERT_EQ(::fcntl(pair.theirs, F_SETFL, O_NONBLOCK), 0);
    server.stream = std::make_unique<net::Stream>(loop, server.handler, limits);
    client.stream = std::make_unique<net::Stream>(loop, client.handler, limits);
    server.stream->adopt(pair.ours);
    client.stream->adopt(pair.theirs);
  }
  // The contexts are shared by all tests: making keys is slow under sanitizers.
  static TestPki& pki() {
    static TestPki authority;
    return authority;
  }
  static SSL_CTX* server_context() {
    static const certs::TlsContext context = [] {
      const Identity identity = pki().issue("DNS:relay.example,IP:127.0.0.1,IP:::1");
      return certs::make_server_context(identity.certificate, identity.key, "test").take();
    }();
    return context.get();
  }
  static SSL_CTX* client_context() {
    static const certs::TlsContext context = certs::make_client_context({pki().ca()}).take();
    return context.get();
  }
  bool shake_hands(const std::string& name = "relay.example") {
    server.stream->start_tls_server(server_context());
    client.stream->start_tls_client(client_context(), name);
    return run_until([&] {
      return (server.handler.tls && client.handler.tls) || server.handler.closes > 0 ||
             client.handler.closes > 0;
    });
  }

  End server, client;
};

inline std::string pattern(std::size_t octets) {
  std::string text(octets, '\0');
  std::uint32_t x = 12345;
  for (auto& c : text) {
    x = x * 1664525 + 1013904223;
    c = static_cast<char>(x >> 24);
  }
  return text;
}

}  // namespace test
