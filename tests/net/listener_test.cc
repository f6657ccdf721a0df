#include "core/net/listener.h"

#include <sys/resource.h>
#include <sys/times.h>

#include "net/fixture.h"

namespace {

using net::Listener;
using net::SocketAddress;

class ListenerTest : public test::NetTest {
 protected:
  std::unique_ptr<Listener> open(const std::string& address) {
    auto listener = Listener::open(loop, *SocketAddress::parse(address),
                                   [this](int fd, const SocketAddress& peer) {
                                     accepted.push_back(fd);
                                     peers.push_back(peer);
                                   });
    if (!listener) {
      ADD_FAILURE() << listener.message();
      return nullptr;
    }
    return listener.take();
  }
  static int dial(const SocketAddress& to) {
    const int fd = ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.length), 0);
    dialled().push_back(fd);
    return fd;
  }
  static std::vector<int>& dialled() {
    static std::vector<int> fds;
    return fds;
  }
  void TearDown() override {
    for (const int fd : accepted) ::close(fd);
    for (const int fd : dialled()) ::close(fd);
    dialled().clear();
  }

  std::vector<int> accepted;
  std::vector<SocketAddress> peers;
};

TEST_F(ListenerTest, AcceptsNonBlockingCloseOnExecWithThePeersAddress) {
  for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
    accepted.clear();
    const auto listener = open(address);
    ASSERT_TRUE(listener);
    ASSERT_NE(listener->address().port(), 0U);
    const int fd = dial(listener->address());
    ASSERT_TRUE(run_until([&] { return !accepted.empty(); }));
    EXPECT_NE(::fcntl(accepted[0], F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(accepted[0], F_GETFD) & FD_CLOEXEC, 0);
    SocketAddress mine;
    mine.length = sizeof mine.storage;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&mine.storage), &mine.length);
    EXPECT_EQ(peers.back().str(), mine.str());
  }
}

TEST_F(ListenerTest, TakesManyAtOnceAndStopsWhilePaused) {
  const auto listener = open("127.0.0.1:0");
  ASSERT_TRUE(listener);
  listener->pause();
  for (int i = 0; i < 200; ++i) dial(listener->address());
  run_ms(30);
  EXPECT_TRUE(accepted.empty());
  listener->resume();
  EXPECT_TRUE(run_until([&] { return accepted.size() == 200; }));
}

TEST_F(ListenerTest, OneListenerALoopOnTheSamePort) {
  const auto first = open("127.0.0.1:0");
  ASSERT_TRUE(first);
  net::Loop other_loop;
  auto second =
      Listener::open(other_loop, first->address(), [](int fd, const auto&) { ::close(fd); });
  EXPECT_TRUE(second) << second.message();
}

TEST_F(ListenerTest, SaysWhichAddressItCannotHave) {
  auto listener = Listener::open(loop, *SocketAddress::parse("192.0.2.1:25"),
                                 [](int fd, const auto&) { ::close(fd); });
  ASSERT_FALSE(listener);
  EXPECT_TRUE(says(listener.message(), "192.0.2.1:25")) << listener.message();
}

TEST_F(ListenerTest, MayBeDestroyedWhileItAccepts) {
  std::unique_ptr<Listener> listener;
  auto text = std::make_shared<std::string>("captured");
  std::string seen;
  auto opened =
      Listener::open(loop, *SocketAddress::parse("127.0.0.1:0"), [&, text](int fd, const auto&) {
        ::close(fd);
        listener.reset();
        seen += *text;
      });
  ASSERT_TRUE(opened);
  listener = opened.take();
  const SocketAddress address = listener->address();
  for (int i = 0; i < 3; ++i) dial(address);
  EXPECT_TRUE(run_until([&] { return !listener; }));
  EXPECT_EQ(seen, "captured");
}

// Without descriptors left the first in line is turned away, the loop sleeps instead of spinning,
// and when there are descriptors again the others get in.
TEST_F(ListenerTest, OutOfDescriptorsItPausesAndRecovers) {
  SKIP_WHERE_DESCRIPTORS_ARE_NEEDED();
  const auto listener = open("127.0.0.1:0");
  ASSERT_TRUE(listener);
  const int first = dial(listener->address());
  const int second = dial(listener->address());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = ::dup(0);
  ::close(next);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  tms start{}, finish{};
  ::times(&start);
  run_ms(60);
  ::times(&finish);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(accepted.empty());
  const auto ticks = finish.tms_utime + finish.tms_stime - start.tms_utime - start.tms_stime;
  EXPECT_LE(ticks, ::sysconf(_SC_CLK_TCK) * 30 / 1000 + 1) << "the loop was spinning";
  char byte = 0;
  EXPECT_LE(::recv(first, &byte, 1, MSG_DONTWAIT), 0);
  EXPECT_NE(errno, EAGAIN) << "the first in line hangs";
  EXPECT_TRUE(run_until([&] { return accepted.size() == 1; }, 2000));
  EXPECT_EQ(::recv(second, &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
}

}  // namespace
