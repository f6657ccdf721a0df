// Streams without TLS: a peer that the test plays on a raw socket.
#include "core/net/stream.h"

#include <sys/times.h>

#include "net/fixture.h"

namespace {

using net::Stream;
using net::StreamLimits;
using test::Recorder;

class StreamTest : public test::NetTest {
 protected:
  void SetUp() override {
    NetTest::SetUp();
    make();
  }
  void TearDown() override { hang_up(); }
  void make(StreamLimits limits = {}, int buffer_octets = 0) {
    hang_up();
    handler = {};
    const Pair pair = tcp_pair(buffer_octets);
    peer = pair.theirs;
    stream = std::make_unique<Stream>(loop, handler, limits);
    stream->adopt(pair.ours);
  }
  void hang_up() {
    if (peer >= 0) ::close(std::exchange(peer, -1));
  }
  bool closed() {
    return run_until([&] { return handler.closes > 0; });
  }
  // Does nothing for a while cost nothing?
  bool sleeps(int ms = 100) {
    tms start{}, finish{};
    ::times(&start);
    // Without the fixture's polling timer.
    run_ms(ms);
    ::times(&finish);
    const auto ticks = finish.tms_utime + finish.tms_stime - start.tms_utime - start.tms_stime;
    return ticks <= ::sysconf(_SC_CLK_TCK) * ms / 1000 / 3 + 1;
  }

  Recorder handler;
  std::unique_ptr<Stream> stream;
  int peer = -1;
};

TEST_F(StreamTest, EchoesByteByByte) {
  handler.when_input = [&](std::span<char> bytes) {
    EXPECT_TRUE(stream->write({bytes.data(), bytes.size()}));
    return bytes.size();
  };
  std::string sent, back;
  for (int i = 0; i < 200; ++i) {
    const std::string byte(1, static_cast<char>(i));
    send_raw(peer, byte);
    sent += byte;
    run_until([&] {
      back += receive_raw(peer, 0);
      return back.size() == sent.size();
    });
  }
  EXPECT_EQ(back, sent);
  EXPECT_EQ(stream->output_pending(), 0U);
}

TEST_F(StreamTest, GivesAgainWhatWasNotTakenTogetherWithMore) {
  std::vector<std::string> lines;
  handler.when_input = [&](std::span<char> bytes) {
    std::string_view text(bytes.data(), bytes.size());
    std::size_t taken = 0;
    for (std::size_t at = 0; (at = text.find('\n', taken)) != std::string_view::npos;) {
      lines.emplace_back(text.substr(taken, at - taken));
      taken = at + 1;
    }
    return taken;
  };
  for (const char c : std::string("one\ntwo\nthree")) {
    send_raw(peer, std::string(1, c));
    run_ms(1);
  }
  EXPECT_TRUE(stream->has_unread_input());
  send_raw(peer, "\nfour\n");
  EXPECT_TRUE(run_until([&] { return lines.size() == 4; }));
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three", "four"}));
  EXPECT_FALSE(stream->has_unread_input());
}

TEST_F(StreamTest, BytesMayBeChangedInPlace) {
  handler.when_input = [&](std::span<char> bytes) -> std::size_t {
    for (char& c : bytes) {
      if (c == 'a') c = 'b';
    }
    handler.input.assign(bytes.data(), bytes.size());
    return 0;
  };
  send_raw(peer, "aa");
  run_until([&] { return handler.offers == 1; });
  send_raw(peer, "c");
  run_until([&] { return handler.offers == 2; });
  EXPECT_EQ(handler.input, "bbc");
}

TEST_F(StreamTest, AFullBufferThatNobodyTakesFromIsADefectThatEndsTheStream) {
  make({.input_octets_max = 1000, .output_octets_max = 1000});
  handler.when_input = [](std::span<char>) { return std::size_t{0}; };
  send_raw(peer, std::string(5000, 'x'));
  ASSERT_TRUE(closed());
  EXPECT_EQ(handler.largest_offer, 1000U);
  EXPECT_TRUE(says(handler.reason, "full buffer")) << handler.reason;
}

TEST_F(StreamTest, TakingMoreThanThereIsIsADefectThatEndsTheStream) {
  handler.when_input = [](std::span<char> bytes) { return bytes.size() + 1; };
  send_raw(peer, "x");
  ASSERT_TRUE(closed());
  EXPECT_TRUE(says(handler.reason, "defect")) << handler.reason;
}

TEST_F(StreamTest, PausedItReadsNothingAndDoesNotSpin) {
  stream->pause_reading();
  send_raw(peer, "hello");
  EXPECT_TRUE(sleeps());
  EXPECT_EQ(handler.offers, 0);
  stream->resume_reading();
  EXPECT_EQ(handler.offers, 0) << "never from inside resume_reading()";
  EXPECT_TRUE(run_until([&] { return handler.input == "hello"; }));
}

TEST_F(StreamTest, PausedInsideOnInputItKeepsTheRestAndOffersItOnResume) {
  handler.when_input = [&](std::span<char> bytes) -> std::size_t {
    handler.input.append(bytes.data(), 1);
    stream->pause_reading();
    return 1;
  };
  send_raw(peer, "abc");
  run_until([&] { return handler.offers == 1; });
  run_ms(20);
  EXPECT_EQ(handler.input, "a");
  EXPECT_TRUE(stream->has_unread_input());
  for (const char* expected : {"ab", "abc"}) {
    stream->resume_reading();
    run_until([&] { return handler.input == expected; });
    EXPECT_EQ(handler.input, expected);
  }
  EXPECT_FALSE(stream->has_unread_input());
}

TEST_F(StreamTest, AFullBufferMayWaitWhilePaused) {
  make({.input_octets_max = 1000, .output_octets_max = 1000});
  bool open = false;
  handler.when_input = [&](std::span<char> bytes) -> std::size_t {
    if (!open) {
      stream->pause_reading();
      return 0;
    }
    handler.input.append(bytes.data(), bytes.size());
    return bytes.size();
  };
  const std::string sent = test::pattern(3500);
  send_raw(peer, sent);
  run_until([&] { return handler.offers == 1; });
  EXPECT_TRUE(sleeps());
  EXPECT_EQ(handler.offers, 1);
  EXPECT_EQ(handler.closes, 0);
  open = true;
  stream->resume_reading();
  EXPECT_TRUE(run_until([&] { return handler.input.size() == sent.size(); }));
  EXPECT_EQ(handler.input, sent);
}

TEST_F(StreamTest, WriteTakesAllOrNothingAndTellsWhenThereIsRoom) {
  make({.input_octets_max = 4096, .output_octets_max = 100'000}, 4096);
  const std::string chunk(30'000, 'x');
  std::size_t written = 0;
  while (stream->write(chunk)) written += chunk.size();
  EXPECT_LE(stream->output_pending(), 100'000U);
  EXPECT_GT(stream->output_pending(), 70'000U);
  EXPECT_EQ(handler.empties, 0);
  std::size_t received = 0;
  EXPECT_TRUE(run_until([&] {
    received += receive_raw(peer, 0).size();
    return handler.empties == 1 && received == written;
  }));
  EXPECT_EQ(stream->output_pending(), 0U);
  EXPECT_FALSE(stream->write(std::string(100'001, 'x')));
  EXPECT_TRUE(sleeps());
  EXPECT_EQ(handler.empties, 1);
}

TEST_F(StreamTest, AFullOutputDoesNotSpin) {
  make({}, 4096);
  while (stream->write(std::string(10'000, 'x'))) {
  }
  EXPECT_TRUE(sleeps());
}

TEST_F(StreamTest, RepliesOfOneInputLeaveTogether) {
  handler.when_input = [&](std::span<char> bytes) {
    for (int i = 0; i < 3; ++i) stream->write("250 ok\r\n");
    EXPECT_EQ(stream->output_pending(), 24U);
    return bytes.size();
  };
  send_raw(peer, "x");
  run_until([&] { return handler.offers == 1; });
  EXPECT_EQ(receive_raw(peer), "250 ok\r\n250 ok\r\n250 ok\r\n");
}

TEST_F(StreamTest, AFastPeerDoesNotKeepTheOthersWaiting) {
  make({.input_octets_max = 1000, .output_octets_max = 1000});
  int offers_at_timer = -1;
  send_raw(peer, std::string(200'000, 'x'));
  loop.post([&] {
    // Behind the first turn of the stream, which is already readable.
    loop.post([&] { loop.post([&] { offers_at_timer = handler.offers; }); });
  });
  run_until([&] { return handler.input.size() == 200'000; });
  EXPECT_GE(offers_at_timer, 0);
  EXPECT_LT(offers_at_timer, 100);
  EXPECT_EQ(handler.input.size(), 200'000U);
}

TEST_F(StreamTest, HalfClosedPeerIsHeardAndAnswered) {
  handler.when_input = [&](std::span<char> bytes) {
    EXPECT_EQ(handler.closes, 0);
    handler.input.append(bytes.data(), bytes.size());
    stream->write("221 bye\r\n");
    return bytes.size();
  };
  send_raw(peer, "QUIT\r\n");
  ASSERT_EQ(::shutdown(peer, SHUT_WR), 0);
  ASSERT_TRUE(closed());
  EXPECT_EQ(handler.input, "QUIT\r\n");
  EXPECT_TRUE(says(handler.reason, "closed the connection")) << handler.reason;
  EXPECT_EQ(receive_raw(peer), "221 bye\r\n");
}

TEST_F(StreamTest, HalfClosedPeerGetsALongAnswerBeforeTheEnd) {
  make({.input_octets_max = 4096, .output_octets_max = 200'000}, 4096);
  handler.when_input = [&](std::span<char> bytes) {
    EXPECT_TRUE(stream->write(std::string(150'000, 'y')));
    return bytes.size();
  };
  send_raw(peer, "x");
  ASSERT_EQ(::shutdown(peer, SHUT_WR), 0);
  run_ms(30);
  EXPECT_EQ(handler.closes, 0) << "the answer is still on its way";
  EXPECT_TRUE(sleeps());
  std::size_t received = 0;
  EXPECT_TRUE(run_until([&] {
    received += receive_raw(peer, 0).size();
    return handler.closes == 1 && received == 150'000;
  }));
}

TEST_F(StreamTest, ThePeersEndWaitsWhileReadingIsPaused) {
  handler.when_input = [&](std::span<char> bytes) {
    stream->pause_reading();  // the answer takes a while
    return bytes.size();
  };
  send_raw(peer, "x");
  ASSERT_EQ(::shutdown(peer, SHUT_WR), 0);
  EXPECT_TRUE(sleeps());
  EXPECT_EQ(handler.closes, 0);
  EXPECT_TRUE(stream->write("late answer"));
  EXPECT_EQ(receive_raw(peer), "late answer");
  stream->resume_reading();
  EXPECT_TRUE(closed());
}

TEST_F(StreamTest, AResetSaysSo) {
  reset(std::exchange(peer, -1));
  ASSERT_TRUE(closed());
  EXPECT_TRUE(says(handler.reason, "reset")) << handler.reason;
  EXPECT_FALSE(stream->write("x"));
  run_ms(10);
  EXPECT_EQ(handler.closes, 1);
}

TEST_F(StreamTest, AResetFoundByWritingIsToldFromTheLoopAlsoWhilePaused) {
  stream->pause_reading();
  reset(std::exchange(peer, -1));
  run_ms(10);
  stream->write("a");
  stream->write("b");
  EXPECT_EQ(handler.closes, 0);
  ASSERT_TRUE(closed());
}

TEST_F(StreamTest, WhatThePeerSaidBeforeItClosedIsOfferedWhenWritingFails) {
  send_raw(peer, "421 go away\r\n");
  hang_up();
  while (stream->write("x")) {
  }
  ASSERT_TRUE(closed());
  EXPECT_EQ(handler.input, "421 go away\r\n");
}

TEST_F(StreamTest, MayBeDestroyedInOnInputOnOutputEmptyAndOnClosed) {
  handler.when_input = [&](std::span<char> bytes) {
    stream->write("last words");
    stream.reset();
    bytes[0] = 'x';  // still ours
    return std::size_t{0};
  };
  send_raw(peer, "x");
  EXPECT_TRUE(run_until([&] { return !stream; }));

  make({}, 4096);
  handler.when_empty = [&] { stream.reset(); };
  while (stream->write(std::string(10'000, 'x'))) {
  }
  EXPECT_TRUE(run_until([&] {
    receive_raw(peer, 0);
    return !stream;
  }));

  make();
  handler.when_closed = [&] { stream.reset(); };
  hang_up();
  EXPECT_TRUE(run_until([&] { return !stream; }));
  EXPECT_EQ(handler.closes, 1);
}

TEST_F(StreamTest, DestroyedWithThingsDeferredNothingComesAnyMore) {
  stream->pause_reading();
  send_raw(peer, "x");
  stream->resume_reading();
  stream.reset();
  run_ms(20);
  EXPECT_EQ(handler.offers, 0);
  EXPECT_EQ(handler.closes, 0);
}

TEST_F(StreamTest, GracefulCloseBringsTheLastReplyPastUnreadInput) {
  make({.input_octets_max = 1000, .output_octets_max = 100'000});
  handler.when_input = [&](std::span<char>) -> std::size_t {
    stream->write("554 5.7.0 no more of this\r\n");
    stream->close_gracefully(5000);
    stream.reset();
    return 0;
  };
  send_raw(peer, std::string(100'000, 'x'));
  run_until([&] { return !stream; });
  run_ms(20);
  send_raw(peer, std::string(100'000, 'x'));  // a client in full flow
  run_ms(20);
  EXPECT_EQ(receive_raw(peer), "554 5.7.0 no more of this\r\n");
  char byte = 0;
  EXPECT_EQ(::recv(peer, &byte, 1, MSG_DONTWAIT), 0) << "FIN, not a reset";
  EXPECT_TRUE(sleeps(50));
  EXPECT_EQ(handler.closes, 0);
}

TEST_F(StreamTest, GracefulCloseFlushesWhatIsPending) {
  make({.input_octets_max = 1000, .output_octets_max = 500'000}, 4096);
  const std::string sent = test::pattern(300'000);
  ASSERT_TRUE(stream->write(sent));
  stream->close_gracefully(10'000);
  EXPECT_FALSE(stream->write("more"));
  stream.reset();
  std::string received;
  EXPECT_TRUE(run_until([&] {
    received += receive_raw(peer, 0);
    return received.size() == sent.size();
  }));
  EXPECT_EQ(received, sent);
  EXPECT_EQ(handler.empties, 0);
}

TEST_F(StreamTest, GracefulCloseGivesUpAtItsDeadline) {
  make({.input_octets_max = 1000, .output_octets_max = 500'000}, 4096);
  while (stream->write(std::string(10'000, 'x'))) {
  }
  const auto started = std::chrono::steady_clock::now();
  stream->close_gracefully(50);
  stream.reset();
  const auto over = [&] {  // the peer sees the end behind what had been sent
    char bytes[65536];
    ssize_t n = 0;
    while ((n = ::recv(peer, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
    }
    return n == 0 || errno != EAGAIN;
  };
  run_ms(120);
  EXPECT_TRUE(over());
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
}

TEST_F(StreamTest, ALoopMayEndWhileAStreamCloses) {
  const Pair pair = tcp_pair();
  {
    net::Loop other;
    Recorder silent;
    Stream closing(other, silent, {});
    closing.adopt(pair.ours);
    closing.close_gracefully(60'000);
  }
  char byte = 0;
  EXPECT_EQ(::recv(pair.theirs, &byte, 1, 0), 0);
  ::close(pair.theirs);
}

TEST_F(StreamTest, ConnectsAndTalks) {
  std::unique_ptr<Stream> accepted;
  Recorder accepted_handler;
  auto listener = net::Listener::open(
      loop, *net::SocketAddress::parse("127.0.0.1:0"), [&](int fd, const net::SocketAddress&) {
        accepted = std::make_unique<Stream>(loop, accepted_handler, StreamLimits{});
        accepted->adopt(fd);
        accepted->write("220 hello\r\n");
      });
  ASSERT_TRUE(listener);
  Recorder caller;
  Stream out(loop, caller, {});
  out.connect((*listener)->address());
  EXPECT_FALSE(caller.connected);
  EXPECT_TRUE(out.write("early words"));  // kept until the connection is there
  EXPECT_TRUE(run_until(
      [&] { return caller.input == "220 hello\r\n" && accepted_handler.input == "early words"; }));
  EXPECT_TRUE(caller.connected);
  EXPECT_EQ(out.peer().str(), (*listener)->address().str());
  EXPECT_EQ(accepted->peer().str(), out.local().str());
}

TEST_F(StreamTest, ARefusedConnectionIsToldFromTheLoop) {
  // A port that was free a moment ago.
  auto listener = net::Listener::open(loop, *net::SocketAddress::parse("127.0.0.1:0"),
                                      [](int fd, const auto&) { ::close(fd); });
  ASSERT_TRUE(listener);
  const auto address = (*listener)->address();
  listener->reset();
  Recorder caller;
  Stream out(loop, caller, {});
  out.connect(address);
  EXPECT_EQ(caller.closes, 0);
  EXPECT_TRUE(run_until([&] { return caller.closes == 1; }));
  EXPECT_FALSE(caller.connected);
  EXPECT_TRUE(says(caller.reason, address.str()) && says(caller.reason, "refused"))
      << caller.reason;

  Recorder unroutable;
  Stream nowhere(loop, unroutable, {});
  nowhere.connect(net::SocketAddress{});  // fails inside connect()
  EXPECT_EQ(unroutable.closes, 0);
  EXPECT_TRUE(run_until([&] { return unroutable.closes == 1; }));
}

}  // namespace
