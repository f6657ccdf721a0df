#include "relayd/egress/remote_id.h"

#include <gtest/gtest.h>

namespace egress {
namespace {

TEST(RemoteId, OfCommonServers) {
  struct Case {
    const char* server;
    std::string text, id;
  };
  const Case cases[] = {
      {"Postfix", "2.0.0 Ok: queued as 4FkX1c2Qz9zL", "4FkX1c2Qz9zL"},
      {"Postfix, code apart", "Ok: queued as 0123456789AB", "0123456789AB"},
      {"Haraka", "Message Queued as (6A1B-22.1)", "6A1B-22.1"},
      {"Exim", "OK id=1rXyZ0-0001Ab-2C", "1rXyZ0-0001Ab-2C"},
      {"Exchange",
       "2.6.0 <a@b.example> [InternalId=1234567890, Hostname=X.PROD.OUTLOOK.COM] 9 bytes in 0.1, "
       "100 KB/sec Queued mail for delivery",
       "1234567890"},
      {"sendmail", "2.0.0 w0U1a2b3c4d5e6 Message accepted for delivery", "w0U1a2b3c4d5e6"},
      {"Gmail", "2.0.0 OK  1700000000 a1-20020a05d41b00f3si22.91 - gsmtp",
       "a1-20020a05d41b00f3si22.91"},
      {"qmail", "ok 1700000000 qp 12345", "12345"},
      {"SES", "Ok 0100018c-abcd-4e5f", "0100018c-abcd-4e5f"},
      {"OpenSMTPD", "2.0.0 c1d2e3f4 Message accepted for delivery", "c1d2e3f4"},
      {"relayd", "2.0.0 queued as 01HZZZZZZZZZZZZZZZZZZZZZZZ", "01HZZZZZZZZZZZZZZZZZZZZZZZ"},
      {"nothing said", "2.0.0 Ok", ""},
      {"only words", "2.0.0 message taken, thank you", ""},
      {"words behind ok", "Ok thanks", ""},
      {"nothing behind", "2.0.0 Ok: queued as ", ""},
      {"empty", "", ""},
  };
  for (const Case& c : cases) EXPECT_EQ(remote_queue_id(c.text), c.id) << c.server;
}

TEST(RemoteId, IsBoundedAndPrintable) {
  EXPECT_EQ(remote_queue_id("queued as " + std::string(129, 'a')), "");
  EXPECT_EQ(remote_queue_id("queued as " + std::string(128, 'a')), std::string(128, 'a'));
  EXPECT_EQ(remote_queue_id("queued as a\x1b[31mb"), "");
  EXPECT_EQ(remote_queue_id("queued as a\xc3\xa4"), "");
  EXPECT_EQ(remote_queue_id(std::string(100'000, '<')), "");
  for (int c = 0; c < 256; ++c) {
    const std::string id = remote_queue_id("x queued as a" + std::string(1, static_cast<char>(c)));
    for (const char one : id) EXPECT_TRUE(one > 0x20 && one < 0x7f) << c;
  }
}

}  // namespace
}  // namespace egress
