#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/limits.h"
#include "core/base/log.h"
#include "core/base/metrics.h"
#include "core/base/result.h"

namespace base {
namespace {

TEST(Bytes, Base64TestVectorsOfRfc4648Section10) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : vectors) {
    EXPECT_EQ(base64_encode(plain), text);
    EXPECT_EQ(base64_decode(text), plain);
  }
}

TEST(Bytes, Base64DecodingIsStrict) {
  for (const char* bad :
       {"Zg=", "Zg", "Z===", "Zh==", "Zm9=", "Zm 9", "=Zm9", "Zm9v=", "Zg==Zg=="}) {
    EXPECT_FALSE(base64_decode(bad)) << bad;
  }
}

TEST(Bytes, HexRoundTrip) {
  EXPECT_EQ(hex_encode(std::string("\x00\xff\x10", 3)), "00ff10");
  EXPECT_EQ(hex_decode("00FF10"), std::string("\x00\xff\x10", 3));
  EXPECT_FALSE(hex_decode("0"));
  EXPECT_FALSE(hex_decode("0g"));
}

TEST(Bytes, ParseUnsignedRefusesSignsAndOverflow) {
  EXPECT_EQ(parse_unsigned("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "18446744073709551616", "1x"}) {
    EXPECT_FALSE(parse_unsigned(bad)) << bad;
  }
}

TEST(Bytes, Utf8OfRfc3629) {
  EXPECT_TRUE(is_utf8("gr\xc3\xbc\xc3\x9f \xf0\x9f\x93\xa7"));
  for (const char* bad : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xff"}) {
    EXPECT_FALSE(is_utf8(bad));
    EXPECT_TRUE(is_utf8(to_utf8(bad)));
  }
  EXPECT_EQ(to_utf8("a\xff"), "a\xef\xbf\xbd");
}

TEST(Bytes, ConstantTimeEqual) {
  EXPECT_TRUE(constant_time_equal("secret", "secret"));
  EXPECT_FALSE(constant_time_equal("secret", "secreT"));
  EXPECT_FALSE(constant_time_equal("secret", "secret "));
}

TEST(Id, TextSortsAsBytesDoAndParsesBack) {
  ManualClock clock;
  IdGenerator ids(clock);
  Id last;
  for (int i = 0; i < 2000; ++i) {
    const Id id = ids.next();
    EXPECT_LT(last, id);
    EXPECT_LT(last.str(), id.str());
    EXPECT_EQ(Id::parse(id.str()), id);
    EXPECT_EQ(Id::from_key(id.key()), id);
    last = id;
    if (i % 7 == 0) clock.advance_ms(1);
  }
  EXPECT_EQ(last.time_ms(), clock.wall_ms());
}

TEST(Id, GrowsWhenTheClockStepsBack) {
  ManualClock clock;
  IdGenerator ids(clock);
  const Id before = ids.next();
  clock.advance_ms(-60'000);
  EXPECT_LT(before, ids.next());
}

TEST(Id, RefusesWhatIsNone) {
  for (const char* bad : {"", "0", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "0000000000000000000000000U",
                          "00000000000000000000000000 "}) {
    EXPECT_FALSE(Id::parse(bad)) << bad;
  }
}

TEST(Id, UniqueOverThreads) {
  SystemClock clock;
  IdGenerator ids(clock);
  std::vector<std::vector<Id>> made(4);
  std::vector<std::thread> threads;
  for (auto& mine : made) {
    threads.emplace_back([&ids, &mine] {
      for (int i = 0; i < 5000; ++i) mine.push_back(ids.next());
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<Id> all;
  for (const auto& mine : made) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), 20000U);
}

TEST(Log, JsonLineEscapesWhatASenderWrote) {
  EXPECT_EQ(format_log_line(LogFormat::kJson, LogLevel::kInfo, 1'769'860'800'000, "queued",
                            {{"id", "X"}, {"size", 12}, {"tls", true}, {"from", "a\"\r\n\xff"}}),
            "{\"time\":\"2026-01-31T12:00:00.000Z\",\"level\":\"info\",\"event\":\"queued\","
            "\"id\":\"X\",\"size\":12,\"tls\":true,\"from\":\"a\\\"\\r\\n\xef\xbf\xbd\"}");
}

TEST(Log, TextLineStaysOneLine) {
  EXPECT_EQ(format_log_line(LogFormat::kText, LogLevel::kWarning, 1'769'860'800'123, "deferred",
                            {{"id", "X"}, {"reply", "451 a\r\nb"}}),
            "2026-01-31T12:00:00.123Z warning deferred id=X reply=\"451 a??b\"");
}

TEST(Limits, EveryRowHasItsDefaultInTheStruct) {
  const Limits limits;
  std::set<std::string_view> names;
  for (const LimitRow& row : limit_table()) {
    EXPECT_EQ(limits.*row.field, row.standard) << row.name;
    EXPECT_GT(row.standard, 0) << row.name;
    EXPECT_FALSE(row.why.empty()) << row.name;
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
  }
}

TEST(Metrics, ExposesFamiliesTogether) {
  Metrics metrics;
  metrics.counter("relayd_messages_total", "Messages.", R"(direction="in")").add(2);
  metrics.gauge("relayd_sessions", "Open sessions.").set(3);
  metrics.counter("relayd_messages_total", "Messages.", R"(direction="out")").add(1);
  metrics.counter("relayd_messages_total", "Messages.", R"(direction="in")").add(1);
  EXPECT_EQ(metrics.expose(),
            "# HELP relayd_messages_total Messages.\n"
            "# TYPE relayd_messages_total counter\n"
            "relayd_messages_total{direction=\"in\"} 3\n"
            "relayd_messages_total{direction=\"out\"} 1\n"
            "# HELP relayd_sessions Open sessions.\n"
            "# TYPE relayd_sessions gauge\n"
            "relayd_sessions 3\n");
}

TEST(Result, HoldsOneOfTwo) {
  const Result<int> good = 3;
  const Result<int> bad = error("no");
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(*good, 3);
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.message(), "no");
  EXPECT_THROW((void)*bad, std::bad_variant_access);
}

TEST(Bytes, PartsAreWhatSplitGives) {
  const std::vector<std::pair<std::string_view, std::vector<std::string_view>>> rows = {
      {"", {""}},
      {",", {"", ""}},
      {"a", {"a"}},
      {"a,b", {"a", "b"}},
      {"a,", {"a", ""}},
      {",,a", {"", "", "a"}},
      {"a,,b", {"a", "", "b"}}};
  for (const auto& [text, expected] : rows) {
    std::vector<std::string_view> walked;
    for (const std::string_view part : parts(text, ',')) walked.push_back(part);
    EXPECT_EQ(walked, expected) << text;
    EXPECT_EQ(split(text, ','), expected) << text;
  }
}

TEST(Bytes, AppendingGoesOnBehindWhatIsThere) {
  std::string text = "=";
  append_base64url(text, "\xff\xfe");
  append_hex(text, "\x01\xab");
  EXPECT_EQ(text, "=__401ab");
}

TEST(Bytes, PrintableHasNothingThatMovesATerminal) {
  EXPECT_EQ(printable("a\xc2\x9b"
                      "2Jb\x1b[0m\r\n"),
            "a?2Jb?[0m??");
  EXPECT_EQ(printable("x\xe2\x80\xaey\xe2\x81\xa7z\xe2\x80\xa8"), "x?y?z?");
  EXPECT_EQ(printable("\xc3\xa4 \xe2\x82\xac \xc2\xa0"),
            "\xc3\xa4 \xe2\x82\xac \xc2\xa0");  // these stay
}

}  // namespace
}  // namespace base
