// Streams inside TLS: against each other, and against OpenSSL and garbage on a raw socket.
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <thread>

#include "core/net/stream.h"
#include "net/fixture.h"

namespace {

using net::Stream;
using test::pattern;

class TlsStreamTest : public test::TalkTest {};

TEST_F(TlsStreamTest, ShakesHandsAndEchoes) {
  make_streams();
  EXPECT_FALSE(client.stream->inside_tls());
  ASSERT_TRUE(shake_hands());
  ASSERT_TRUE(client.handler.tls && server.handler.tls)
      << client.handler.reason << server.handler.reason;
  EXPECT_TRUE(client.stream->inside_tls() && server.stream->inside_tls());
  EXPECT_EQ(client.stream->tls_info().version, "TLSv1.3");
  EXPECT_FALSE(server.stream->tls_info().cipher.empty());
  EXPECT_EQ(server.stream->tls_info().peer_subject, "") << "the client showed no certificate";
  EXPECT_TRUE(says(client.stream->tls_info().peer_subject, "CN=leaf"));
  server.handler.when_input = [&](std::span<char> bytes) {
    server.stream->write({bytes.data(), bytes.size()});
    return bytes.size();
  };
  for (const char c : std::string("hello, world")) {
    client.stream->write(std::string(1, c));
    run_ms(1);
  }
  EXPECT_TRUE(run_until([&] { return client.handler.input == "hello, world"; }));
}

TEST_F(TlsStreamTest, StartsAfterWordsInTheClear) {
  make_streams();
  server.handler.when_input = [&](std::span<char> bytes) {
    server.handler.input.append(bytes.data(), bytes.size());
    if (!server.stream->inside_tls() && server.handler.input == "STARTTLS\r\n") {
      server.stream->write("220 go ahead\r\n");
      server.stream->start_tls_server(server_context());
      server.stream->write("220 inside\r\n");  // belongs inside already
    }
    return bytes.size();
  };
  client.handler.when_input = [&](std::span<char> bytes) {
    client.handler.input.append(bytes.data(), bytes.size());
    if (client.handler.input == "220 go ahead\r\n") {
      client.stream->start_tls_client(client_context(), "relay.example");
      client.stream->write("EHLO inside\r\n");
    }
    return bytes.size();
  };
  client.stream->write("STARTTLS\r\n");
  EXPECT_TRUE(run_until([&] {
    return says(server.handler.input, "EHLO inside\r\n") &&
           says(client.handler.input, "220 inside\r\n");
  })) << client.handler.reason
      << server.handler.reason;
  EXPECT_TRUE(server.handler.tls && client.handler.tls);
}

// RFC 3207 4.2 and CVE-2011-0411: nothing said before TLS may count as said inside.
TEST_F(TlsStreamTest, CommandsBehindStarttlsEndTheConnection) {
  for (const bool handler_takes_all : {false, true}) {
    make_streams();
    server.handler = {};
    client.handler = {};
    std::string heard;
    server.handler.when_input = [&](std::span<char> bytes) -> std::size_t {
      heard.assign(bytes.data(), bytes.size());
      if (server.stream->inside_tls()) return bytes.size();
      server.stream->write("220 go ahead\r\n");
      server.stream->start_tls_server(server_context());
      return handler_takes_all ? bytes.size() : 10;
    };
    client.handler.when_input = [&](std::span<char> bytes) {
      client.stream->start_tls_client(client_context(), "relay.example");
      return bytes.size();
    };
    client.stream->write("STARTTLS\r\nRSET\r\n");
    run_until(
        [&] { return server.handler.closes + client.handler.closes > 0 || client.handler.tls; });
    EXPECT_EQ(server.handler.closes, handler_takes_all ? 0 : 1);
    if (!handler_takes_all) {
      EXPECT_TRUE(says(server.handler.reason, "in the clear")) << server.handler.reason;
    }
    EXPECT_EQ(heard, "STARTTLS\r\nRSET\r\n") << "offered once";
  }
}

TEST_F(TlsStreamTest, UnreadPlaintextEndsTheConnectionWhenTlsStarts) {
  make_streams();
  server.handler.when_input = [](std::span<char>) { return std::size_t{0}; };
  client.stream->write("RSET");
  run_until([&] { return server.handler.offers == 1; });
  ASSERT_TRUE(server.stream->has_unread_input());
  server.stream->start_tls_server(server_context());
  EXPECT_EQ(server.handler.closes, 0);
  EXPECT_TRUE(run_until([&] { return server.handler.closes == 1; }));
  EXPECT_TRUE(says(server.handler.reason, "in the clear")) << server.handler.reason;
}

TEST_F(TlsStreamTest, VerifiesNamesAndAddresses) {
  struct Case {
    std::string name;
    bool good;
  };
  for (const auto& c : std::vector<Case>{{"relay.example", true},
                                         {"RELAY.Example.", true},
                                         {"127.0.0.1", true},
                                         {"::1", true},
                                         {"other.example", false},
                                         {"sub.relay.example", false},
                                         {"127.0.0.2", false},
                                         {"", false},
                                         {std::string("relay.example\0.evil", 19), false}}) {
    make_streams();
    server.handler = {};
    client.handler = {};
    shake_hands(c.name);
    EXPECT_EQ(client.handler.tls, c.good) << c.name << ": " << client.handler.reason;
    if (c.good) continue;
    EXPECT_TRUE(run_until([&] { return client.handler.closes == 1; }));
    if (c.name.size() > 3 && c.name.size() < 19) {
      EXPECT_TRUE(says(client.handler.reason, "mismatch")) << client.handler.reason;
    }
  }
}

TEST_F(TlsStreamTest, RefusesAnUnknownAuthorityAndSaysWhy) {
  make_streams();
  const auto stranger = certs::make_client_context({}).take();
  server.stream->start_tls_server(server_context());
  client.stream->start_tls_client(stranger.get(), "relay.example");
  EXPECT_TRUE(run_until([&] { return client.handler.closes == 1 && server.handler.closes == 1; }));
  EXPECT_FALSE(client.handler.tls);
  EXPECT_TRUE(says(client.handler.reason, "unable to get local issuer certificate"))
      << client.handler.reason;
  EXPECT_TRUE(says(server.handler.reason, "unknown ca")) << server.handler.reason;
}

TEST_F(TlsStreamTest, TenMegabytesBothWaysThroughSmallBuffers) {
  make_streams({.input_octets_max = 64 * 1024, .output_octets_max = 64 * 1024}, 16 * 1024);
  ASSERT_TRUE(shake_hands());
  const std::string sent = pattern(10 * 1024 * 1024);
  const auto pump = [&sent](End& end, std::size_t& at) {
    while (at < sent.size()) {
      const std::string_view chunk = std::string_view(sent).substr(at, 40'000);
      if (!end.stream->write(chunk)) return;
      at += chunk.size();
    }
  };
  std::size_t client_at = 0;
  std::size_t server_at = 0;
  std::size_t most_pending = 0;
  client.handler.when_empty = [&] { pump(client, client_at); };
  server.handler.when_empty = [&] { pump(server, server_at); };
  pump(client, client_at);
  pump(server, server_at);
  EXPECT_TRUE(run_until(
      [&] {
        most_pending = std::max(most_pending, client.stream->output_pending());
        return client.handler.input.size() == sent.size() &&
               server.handler.input.size() == sent.size();
      },
      60'000));
  EXPECT_TRUE(client.handler.input == sent);
  EXPECT_TRUE(server.handler.input == sent);
  EXPECT_LE(most_pending, 64U * 1024);
  EXPECT_LE(client.handler.largest_offer, 64U * 1024);
}

TEST_F(TlsStreamTest, APausedReaderHoldsTheWriterBackAndNothingIsLost) {
  make_streams({.input_octets_max = 20'000, .output_octets_max = 64 * 1024}, 16 * 1024);
  ASSERT_TRUE(shake_hands());
  const std::string sent = pattern(2 * 1024 * 1024);
  std::size_t at = 0;
  client.handler.when_empty = [&] {
    while (at < sent.size() && client.stream->write(std::string_view(sent).substr(at, 10'000))) {
      at += std::min<std::size_t>(10'000, sent.size() - at);
    }
  };
  // Takes odd amounts and pauses after each, a timer resumes.
  net::Timer resume(loop, [&] { server.stream->resume_reading(); });
  server.handler.when_input = [&](std::span<char> bytes) {
    const std::size_t taken = std::min<std::size_t>(bytes.size(), 19'001);
    server.handler.input.append(bytes.data(), taken);
    server.stream->pause_reading();
    resume.start_ms(0);
    return taken;
  };
  client.handler.when_empty();
  EXPECT_TRUE(run_until([&] { return server.handler.input.size() == sent.size(); }, 60'000));
  EXPECT_TRUE(server.handler.input == sent);
}

TEST_F(TlsStreamTest, ClosingInGoodOrderAndCuttingOffAreToldApart) {
  make_streams();
  ASSERT_TRUE(shake_hands());
  client.stream->write("last words");
  client.stream->close_gracefully(5000);
  client.stream.reset();
  ASSERT_TRUE(run_until([&] { return server.handler.closes == 1; }));
  EXPECT_EQ(server.handler.input, "last words");
  EXPECT_TRUE(says(server.handler.reason, "closed the TLS session")) << server.handler.reason;

  make_streams();
  server.handler = {};
  client.handler = {};
  ASSERT_TRUE(shake_hands());
  run_ms(5);
  client.stream.reset();
  ASSERT_TRUE(run_until([&] { return server.handler.closes == 1; }));
  EXPECT_TRUE(says(server.handler.reason, "truncated")) << server.handler.reason;
}

TEST_F(TlsStreamTest, GracefulCloseBringsTheLastReplyPastUnreadInput) {
  make_streams({.input_octets_max = 1000, .output_octets_max = 300'000});
  ASSERT_TRUE(shake_hands());
  server.handler.when_input = [&](std::span<char>) -> std::size_t {
    server.stream->write("421 4.7.0 enough\r\n");
    server.stream->close_gracefully(5000);
    server.stream.reset();
    return 0;
  };
  client.stream->write(std::string(200'000, 'x'));
  EXPECT_TRUE(run_until([&] { return client.handler.closes == 1; }));
  EXPECT_EQ(client.handler.input, "421 4.7.0 enough\r\n");
  EXPECT_TRUE(says(client.handler.reason, "closed the TLS session")) << client.handler.reason;
}

TEST_F(TlsStreamTest, MayBeDestroyedInEveryCallback) {
  for (const char* where : {"tls", "input", "empty", "closed"}) {
    make_streams({}, 4096);
    server.handler = {};
    client.handler = {};
    const auto destroy = [&] { server.stream.reset(); };
    if (where == std::string("tls")) server.handler.when_tls = destroy;
    server.handler.when_input = [&](std::span<char> bytes) {
      if (where == std::string("input")) {
        server.stream->write("x");
        destroy();
      }
      return bytes.size();
    };
    if (where == std::string("empty")) server.handler.when_empty = destroy;
    if (where == std::string("closed")) server.handler.when_closed = destroy;
    server.stream->start_tls_server(server_context());
    client.stream->start_tls_client(client_context(), "relay.example");
    run_until([&] { return client.handler.tls; });
    if (server.stream) {
      while (server.stream->write(std::string(10'000, 'y'))) {
      }
    }
    client.stream->write("x");
    if (where == std::string("closed")) {
      run_ms(5);
      client.stream.reset();
    }
    EXPECT_TRUE(run_until([&] { return !server.stream; })) << where;
  }
}

TEST_F(TlsStreamTest, HandshakeWithGarbageFailsWithAReason) {
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("EHLO plain.example\r\n"),
        std::string(1000, '\0'), pattern(20'000),
        std::string("\x16\x03\x01\xff\xff", 5) + pattern(70'000)}) {
    const Pair pair = tcp_pair();
    test::Recorder handler;
    Stream stream(loop, handler, {});
    stream.adopt(pair.ours);
    stream.start_tls_server(server_context());
    send_raw(pair.theirs, garbage);
    EXPECT_TRUE(run_until([&] { return handler.closes == 1; }));
    EXPECT_TRUE(says(handler.reason, "TLS handshake")) << handler.reason;
    EXPECT_EQ(handler.offers, 0);
    ::close(pair.theirs);
  }
}

TEST_F(TlsStreamTest, PeersThatGoAwayDuringTheHandshake) {
  for (const bool by_reset : {false, true}) {
    const Pair pair = tcp_pair();
    test::Recorder handler;
    Stream stream(loop, handler, {});
    stream.adopt(pair.ours);
    stream.start_tls_client(client_context(), "relay.example");
    run_ms(5);
    EXPECT_EQ(handler.closes, 0);
    if (by_reset) {
      reset(pair.theirs);
    } else {
      receive_raw(pair.theirs);
      ::close(pair.theirs);
    }
    EXPECT_TRUE(run_until([&] { return handler.closes == 1; }));
    EXPECT_FALSE(handler.reason.empty());
  }
}

TEST_F(TlsStreamTest, GarbageInsideTheSessionEndsIt) {
  const Pair pair = tcp_pair();
  test::Recorder handler;
  Stream stream(loop, handler, {});
  stream.adopt(pair.ours);
  stream.start_tls_server(server_context());
  std::thread peer([fd = pair.theirs] {
    SSL* ssl = SSL_new(client_context());
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1) send_raw(fd, std::string("\x17\x03\x03\x00\x20", 5) + pattern(32));
    SSL_free(ssl);
  });
  EXPECT_TRUE(run_until([&] { return handler.closes == 1; }));
  peer.join();
  EXPECT_TRUE(handler.tls);
  EXPECT_EQ(handler.offers, 0);
  ::close(pair.theirs);
}

TEST_F(TlsStreamTest, ResetInsideTheSessionEndsIt) {
  make_streams();
  ASSERT_TRUE(shake_hands());
  const Pair pair = tcp_pair();
  test::Recorder handler;
  Stream stream(loop, handler, {});
  stream.adopt(pair.ours);
  stream.start_tls_server(server_context());
  std::thread peer([fd = pair.theirs] {
    SSL* ssl = SSL_new(client_context());
    SSL_set_fd(ssl, fd);
    SSL_connect(ssl);
    SSL_write(ssl, "x", 1);
    char byte = 0;
    SSL_read(ssl, &byte, 1);
    SSL_free(ssl);
    reset(fd);
  });
  handler.when_input = [&](std::span<char> bytes) {
    stream.write("y");
    return bytes.size();
  };
  EXPECT_TRUE(run_until([&] { return handler.closes == 1; }));
  peer.join();
  EXPECT_TRUE(handler.tls);
}

// A peer that changes keys after every few records, and asks us to do so too: reads then cause
// writes (RFC 8446 4.6.3), here with little room in the socket's buffers.
TEST_F(TlsStreamTest, KeyUpdatesDuringALongEcho) {
  const Pair pair = tcp_pair();
  test::Recorder handler;
  Stream stream(loop, handler, {.input_octets_max = 8192, .output_octets_max = 8192});
  stream.adopt(pair.ours);
  stream.start_tls_server(server_context());
  handler.when_input = [&](std::span<char> bytes) -> std::size_t {
    std::size_t taken = 0;
    while (taken < bytes.size()) {
      const std::size_t n = std::min<std::size_t>(bytes.size() - taken, 1000);
      if (!stream.write({bytes.data() + taken, n})) {
        stream.pause_reading();
        break;
      }
      taken += n;
    }
    return taken;
  };
  handler.when_empty = [&] { stream.resume_reading(); };
  const std::string sent = pattern(1'000'000);
  std::string received;
  std::atomic<bool> done = false;
  int updates = 0;
  std::thread peer([&, fd = pair.theirs] {
    SSL* ssl = SSL_new(client_context());
    SSL_set_fd(ssl, fd);
    SSL_connect(ssl);
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    std::size_t at = 0;
    std::size_t next_update = 10'000;
    bool write_pending = false;
    char bytes[4096];
    while (received.size() < sent.size() && std::chrono::steady_clock::now() < until) {
      ERR_clear_error();
      bool moved = false;
      // OpenSSL reads nothing while a KeyUpdate of its own waits to be written. With full buffers
      // both ways an echo would wait for its reader for ever, so the peer asks when nothing is
      // under way.
      const bool update_due = at >= next_update && !write_pending;
      if (update_due && received.size() == at) {
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1) ++updates;
        next_update += 50'000;
      } else if (at < sent.size() && !update_due) {
        const int n = SSL_write(ssl, sent.data() + at,
                                static_cast<int>(std::min<std::size_t>(3000, sent.size() - at)));
        if (n > 0) at += static_cast<std::size_t>(n);
        write_pending = n <= 0;
        moved = n > 0;
      }
      const int n = SSL_read(ssl, bytes, sizeof bytes);
      if (n > 0) received.append(bytes, static_cast<std::size_t>(n));
      moved = moved || n > 0;
      if (!moved) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    SSL_free(ssl);
    done = true;
  });
  run_until([&] { return done.load(); }, 40'000);
  peer.join();
  ::close(pair.theirs);
  EXPECT_TRUE(received == sent) << received.size() << " of " << sent.size() << " "
                                << handler.reason;
  EXPECT_GT(updates, 10);
}

// The ticket waits for a reply to leave with, but not for the kernel's patience (200 ms) where
// there is none; and what it is good for is a session that begins without certificates.
TEST_F(TlsStreamTest, ATicketComesAtOnceAndIsGoodForTheNextConnection) {
  SSL_SESSION* session = nullptr;
  for (const bool again : {false, true}) {
    const Pair pair = tcp_pair();
    test::Recorder handler;
    Stream stream(loop, handler, {});
    stream.adopt(pair.ours);
    stream.start_tls_server(server_context());
    std::atomic<bool> done = false;
    bool resumed = false;
    std::chrono::steady_clock::duration waited{};
    std::thread peer([&, fd = pair.theirs] {
      SSL* ssl = SSL_new(client_context());
      SSL_set_fd(ssl, fd);
      if (session != nullptr) SSL_set_session(ssl, session);
      if (SSL_connect(ssl) == 1) {
        const auto from = std::chrono::steady_clock::now();
        char byte = 0;
        ::recv(fd, &byte, 1, MSG_PEEK);
        waited = std::chrono::steady_clock::now() - from;
        ::fcntl(fd, F_SETFL, O_NONBLOCK);
        SSL_read(ssl, &byte, 1);  // takes the ticket
        resumed = SSL_session_reused(ssl) == 1;
        SSL_SESSION_free(session);
        session = SSL_get1_session(ssl);
        SSL_shutdown(ssl);  // a session that was not closed is not resumed later
      }
      SSL_free(ssl);
      done = true;
    });
    run_until([&] { return done.load(); });
    peer.join();
    ::close(pair.theirs);
    EXPECT_EQ(resumed, again);
    EXPECT_LT(waited, std::chrono::milliseconds(150));
  }
  SSL_SESSION_free(session);
}

TEST_F(TlsStreamTest, RenegotiationIsRefused) {
  const Pair pair = tcp_pair();
  test::Recorder handler;
  Stream stream(loop, handler, {});
  stream.adopt(pair.ours);
  stream.start_tls_server(server_context());
  std::atomic<bool> done = false;
  bool refused = false;
  std::thread peer([&, fd = pair.theirs] {
    const auto context = certs::make_client_context({pki().ca()}).take();
    SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_clear_options(context.get(), SSL_OP_NO_RENEGOTIATION);
    SSL* ssl = SSL_new(context.get());
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1) {
      SSL_renegotiate(ssl);
      refused = SSL_do_handshake(ssl) != 1;
    }
    SSL_free(ssl);
    done = true;
  });
  run_until([&] { return done.load(); });
  peer.join();
  EXPECT_TRUE(handler.tls);
  EXPECT_TRUE(refused);
  ::close(pair.theirs);
}

TEST_F(TlsStreamTest, StartingTwiceIsAnErrorNotACrash) {
  make_streams();
  ASSERT_TRUE(shake_hands());
  server.stream->start_tls_server(server_context());
  EXPECT_TRUE(run_until([&] { return server.handler.closes == 1; }));
  EXPECT_TRUE(says(server.handler.reason, "twice")) << server.handler.reason;
}

std::size_t allocated_octets() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Both ends of each pair are ours, so one session costs half of what a pair costs.
TEST_F(TlsStreamTest, IdleSessionsAreSmall) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep memory of their own";
#endif
  std::vector<std::unique_ptr<End>> ends;
  std::size_t before = 0;
  constexpr std::size_t kPairs = 200;
  for (std::size_t i = 0; i <= kPairs; ++i) {
    make_streams();
    server.handler = {};
    client.handler = {};
    ASSERT_TRUE(shake_hands());
    client.stream->write(std::string(50'000, 'x'));
    run_until([&] { return server.handler.input.size() == 50'000; });
    server.stream->write(std::string(50'000, 'x'));
    run_until([&] { return client.handler.input.size() == 50'000; });
    for (End* end : {&server, &client}) {
      // The stream keeps talking to `server` and `client`, which outlive it.
      ends.push_back(std::make_unique<End>());
      ends.back()->stream = std::move(end->stream);
    }
    if (i == 0) before = allocated_octets();
  }
  const std::size_t each = (allocated_octets() - before) / (2 * kPairs);
  RecordProperty("octets_per_session", static_cast<int>(each));
  EXPECT_LE(each, 40U * 1024);
}

}  // namespace
