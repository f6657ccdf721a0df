#include "relayd/main/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "core/base/units.h"

namespace configuration {
namespace {

using testing::HasSubstr;

const std::string kGood = R"(hostname = "relay.example.net"
state_dir = "state"

[[listener]]
address = "127.0.0.1:2525"
role = "mx"
tls = "none"

[limits]
message_size = "20MiB"
command_timeout = "30s"
recipients = "2k"

[queue]
retry = ["1s", "2m"]
expire = "2d"
)";

Loaded parse_text(const std::string& text) { return parse(text, "relayd.toml", "/etc/relayd"); }

TEST(Configuration, ReadsValuesWithSuffixes) {
  const Loaded loaded = parse_text(kGood);
  for (const Problem& problem : loaded.problems) ADD_FAILURE() << problem.str();
  const Configuration& c = loaded.configuration;
  EXPECT_EQ(c.hostname, "relay.example.net");
  EXPECT_EQ(c.state_dir, "/etc/relayd/state");
  EXPECT_EQ(c.admin.socket, "/etc/relayd/admin.sock");
  ASSERT_EQ(c.listeners.size(), 1U);
  EXPECT_EQ(c.limits.message_size, 20 * base::kMiB);
  EXPECT_EQ(c.limits.command_timeout, 30'000);
  EXPECT_EQ(c.limits.recipients, 2000);
  EXPECT_EQ(c.queue.retry_ms, (std::vector<std::int64_t>{1000, 120'000}));
  EXPECT_EQ(c.queue.expire_ms, 2 * base::kDay);
  EXPECT_TRUE(c.verification.required);
}

struct Mistake {
  const char* what;
  std::string from, to;  // in kGood
  std::int64_t line;
  const char* key;
  const char* expected;
};

TEST(Configuration, EveryMistakeIsNamedWithLineAndKey) {
  const Mistake mistakes[] = {
      {"not TOML", "hostname =", "hostname", 1, "", "not TOML"},
      {"unknown key", "recipients =", "recipient =", 12, "limits.recipient",
       "did you mean limits.recipients"},
      {"unknown section", "[queue]", "[kueue]", 14, "kueue", "no such key"},
      {"host name without a dot", "relay.example.net", "relay", 1, "hostname", "full host name"},
      {"host name of the wrong type", "\"relay.example.net\"", "25", 1, "hostname",
       "full host name"},
      {"no size", "20MiB", "twenty", 10, "limits.message_size", "50MiB"},
      {"duration without a unit", "\"30s\"", "30", 11, "limits.command_timeout", "30s"},
      {"negative count", "\"2k\"", "-5", 12, "limits.recipients", "count"},
      {"zero", "\"2k\"", "0", 12, "limits.recipients", "at least 1"},
      {"unknown role", "\"mx\"", "\"relay\"", 6, "listener.role", "\"mx\", \"submission\""},
      {"address without a port", "127.0.0.1:2525", "127.0.0.1", 5, "listener.address",
       "0.0.0.0:25"},
      {"unknown tls", "tls = \"none\"", "tls = \"always\"", 7, "listener.tls", "starttls"},
      {"TLS without a certificate", "tls = \"none\"", "tls = \"starttls\"", 0, "tls.certificate",
       "is missing"},
      {"empty retry list", "[\"1s\", \"2m\"]", "[]", 15, "queue.retry", "list of durations"},
      {"retry too fast", "\"1s\"", "\"1ms\"", 15, "queue.retry", "100ms"},
      {"listener without a role", "role = \"mx\"\n", "", 4, "listener.role", "is missing"},
      {"state_dir missing", "state_dir = \"state\"", "", 0, "state_dir", "is missing"},
      {"submission in the clear", "127.0.0.1:2525\"\nrole = \"mx\"",
       "0.0.0.0:2525\"\nrole = \"submission\"", 4, "listener.tls", "nobody can log in"},
      {"table in place of a value", "[limits]", "[limits]\nmessage_size = 1\n[limits.sessions]", 11,
       "limits.sessions", "count"},
  };
  for (const Mistake& mistake : mistakes) {
    std::string text = kGood;
    const auto at = text.find(mistake.from);
    ASSERT_NE(at, std::string::npos) << mistake.what;
    text.replace(at, mistake.from.size(), mistake.to);
    const Loaded loaded = parse_text(text);
    ASSERT_FALSE(loaded.problems.empty()) << mistake.what;
    bool found = false;
    std::string all;
    for (const Problem& problem : loaded.problems) {
      all += problem.str() + "\n";
      found = found || (problem.line == mistake.line && problem.key == mistake.key &&
                        problem.text.find(mistake.expected) != std::string::npos);
    }
    EXPECT_TRUE(found) << mistake.what << ", got:\n" << all;
  }
}

TEST(Configuration, AllMistakesAreSaidAtOnce) {
  const Loaded loaded = parse_text("hostname = 1\nstate_dir = 2\nnonsense = 3\n");
  EXPECT_EQ(loaded.problems.size(), 4U);  // and no listener
}

TEST(Configuration, TwoListenersMustDiffer) {
  const Loaded loaded = parse_text(
      kGood + "[[listener]]\naddress = \"127.0.0.1:2525\"\nrole = \"mx\"\ntls = \"none\"\n");
  ASSERT_EQ(loaded.problems.size(), 1U);
  EXPECT_THAT(loaded.problems[0].str(), HasSubstr("stands twice"));
}

TEST(Configuration, MissingFileIsSaid) {
  const Loaded loaded = load("/nowhere/relayd.toml");
  ASSERT_EQ(loaded.problems.size(), 1U);
  EXPECT_THAT(loaded.problems[0].str(), HasSubstr("cannot be read"));
}

TEST(Configuration, TheReferencePageIsTheSchema) {
  std::ifstream in(std::string(RELAYD_TESTS_DIR) + "/../docs/configuration.md");
  std::ostringstream page;
  page << in.rdbuf();
  EXPECT_EQ(page.str(), reference())
      << "run: build/relayd --print-reference > docs/configuration.md";
}

TEST(Units, ParseAndFormat) {
  EXPECT_EQ(base::parse_size("50MiB"), 50 * base::kMiB);
  EXPECT_EQ(base::parse_size("1 kb"), 1000);
  EXPECT_EQ(base::parse_duration_ms("5m"), 300'000);
  EXPECT_EQ(base::parse_duration_ms("250ms"), 250);
  EXPECT_FALSE(base::parse_duration_ms("5"));
  EXPECT_FALSE(base::parse_duration_ms("99999999999999999d"));
  EXPECT_FALSE(base::parse_size("-1"));
  EXPECT_EQ(base::format_size(50 * base::kMiB), "50MiB");
  EXPECT_EQ(base::format_size(1000), "1000");
  EXPECT_EQ(base::format_duration_ms(90'000), "90s");
  EXPECT_EQ(base::format_duration_ms(base::kDay), "1d");
}

}  // namespace
}  // namespace configuration
