#include "core/net/socket_address.h"

#include <gtest/gtest.h>

namespace {

using net::SocketAddress;

TEST(SocketAddress, ReadsAndWritesBothFamilies) {
  for (const char* text : {"127.0.0.1:25", "[::1]:25", "0.0.0.0:0", "[2001:db8::1]:65535"}) {
    const auto address = SocketAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->str(), text);
  }
  EXPECT_EQ(SocketAddress::parse("[2001:DB8:0:0::1]:587")->str(), "[2001:db8::1]:587");
  EXPECT_EQ(SocketAddress::from_ip("192.0.2.1", 587)->port(), 587U);
  EXPECT_EQ(SocketAddress::from_ip("::1", 0)->ip(), "::1");
}

TEST(SocketAddress, RefusesEverythingElseAndSaysWhatIsWanted) {
  for (const char* text : {"",
                           ":",
                           "127.0.0.1",
                           "127.0.0.1:",
                           "127.0.0.1:65536",
                           "127.0.0.1:-1",
                           "127.0.0.1:+1",
                           "127.0.0.1:25x",
                           "127.0.0.1: 25",
                           "::1:25",
                           "[::1]",
                           "[::1]25",
                           "[127.0.0.1]:25",
                           "[]:25",
                           "localhost:25",
                           "256.0.0.1:25",
                           "1.2.3:25",
                           "[fe80::1%lo]:25",
                           "[::1:25",
                           "::1]:25"}) {
    const auto address = SocketAddress::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_NE(address.message().find("127.0.0.1:25"), std::string::npos);
  }
  EXPECT_FALSE(SocketAddress::from_ip("127.0.0.1", 70000));
  EXPECT_FALSE(SocketAddress::from_ip(std::string_view("127.0.0.1\0x", 11), 25));
}

TEST(SocketAddress, ShowsAMappedAddressAsV4) {
  const auto mapped = SocketAddress::from_ip("::ffff:192.0.2.7", 25);
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->ip(), "192.0.2.7");
  EXPECT_EQ(mapped->str(), "192.0.2.7:25");
}

TEST(SocketAddress, KnowsLoopback) {
  for (const char* ip : {"127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(SocketAddress::from_ip(ip, 1)->is_loopback()) << ip;
  }
  for (const char* ip : {"128.0.0.1", "0.0.0.0", "::", "::2", "::ffff:10.0.0.1", "10.127.0.1"}) {
    EXPECT_FALSE(SocketAddress::from_ip(ip, 1)->is_loopback()) << ip;
  }
  EXPECT_FALSE(SocketAddress().is_loopback());
  EXPECT_EQ(SocketAddress().ip(), "");
}

}  // namespace
