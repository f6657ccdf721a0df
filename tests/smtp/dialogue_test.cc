// Every script of this folder, whole, byte by byte and at random cuts: the same output, the same
// events, the same messages.
#include "smtp/dialogue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace smtp_test {
namespace {

std::vector<std::filesystem::path> scripts() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(RELAYD_TESTS_DIR "/smtp"))
    if (entry.path().extension() == ".smtp") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Dialogues, AreThere) { EXPECT_GE(scripts().size(), 70U); }

class Script : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Script, IsFollowedHoweverItIsCut) {
  const auto dialogue = parse_dialogue(GetParam().filename().string(), read(GetParam()));
  ASSERT_TRUE(dialogue.ok()) << dialogue.message();
  const DialogueRun whole = run_dialogue(*dialogue, {});
  ASSERT_EQ(whole.error, "");
  if (dialogue->whole_only) return;

  std::vector<Cut> cuts = {{Cut::Kind::kBytes, 0}};
  for (std::uint32_t seed = 1; seed <= 8; ++seed) cuts.push_back({Cut::Kind::kRandom, seed});
  for (const Cut& cut : cuts) {
    const DialogueRun other = run_dialogue(*dialogue, cut);
    ASSERT_EQ(other.error, "") << "seed " << cut.seed;
    EXPECT_EQ(other.output, whole.output) << "seed " << cut.seed;
    EXPECT_EQ(other.trail, whole.trail) << "seed " << cut.seed;
    EXPECT_EQ(other.delivered, whole.delivered) << "seed " << cut.seed;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Script, testing::ValuesIn(scripts()), [](const auto& test) {
  std::string name = test.param.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !isalnum(static_cast<unsigned char>(c)); },
      '_');
  return name;
});

// ---- The runner itself must be able to fail. ----------------------------------------------------

std::string error_of(std::string_view script) {
  const auto dialogue = parse_dialogue("t", script);
  return dialogue.ok() ? run_dialogue(*dialogue, {}).error : dialogue.message();
}

TEST(DialogueRunner, FollowsACorrectScript) {
  EXPECT_EQ(error_of("S: 220 *\nC: NOOP\nS: 250 2.0.0 OK\nC: QUIT\nS: 221 2.0.0 *\nclosed\n"), "");
}

TEST(DialogueRunner, SeesAWrongReply) {
  EXPECT_EQ(error_of("S: 220 *\nC: NOOP\nS: 500 *\n"), "t:3: the server said \"250 2.0.0 OK\"");
}

TEST(DialogueRunner, SeesAMissingReply) {
  EXPECT_EQ(error_of("S: 220 *\nC: NOOP\nS: 250 *\nS: 250 *\n"), "t:4: the server said nothing");
}

TEST(DialogueRunner, SeesAReplyTooMany) {
  EXPECT_NE(error_of("S: 220 *\nC: NOOP\n"), "");
  EXPECT_NE(error_of("S: 220 *\nC: NOOP\nC: NOOP\nS: 250 *\nC: NOOP\nS: 250 *\nS: 250 *\n"), "");
}

TEST(DialogueRunner, SeesWhetherTheServerClosed) {
  EXPECT_NE(error_of("S: 220 *\nclosed\n"), "");
  EXPECT_NE(error_of("S: 220 *\nC: QUIT\nS: 221 *\n"), "");
}

TEST(DialogueRunner, SeesMessagesTheScriptDoesNotHave) {
  const std::string start =
      "S: 220 *\nC: HELO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<sales@acme.example>\n"
      "S: 250 *\nC: DATA\nS: 354 *\nC: hi\nC: .\nS: 250 *\n";
  EXPECT_NE(error_of(start), "");
  EXPECT_EQ(error_of(start + "delivered: hi\\r\\n\n"), "");
  EXPECT_NE(error_of(start + "delivered: ho\\r\\n\n"), "");
  EXPECT_EQ(error_of(start + "delivered: hi\\r\\n\nenvelope: from=<> to=<sales@acme.example>\n"),
            "");
  EXPECT_NE(error_of(start + "delivered: hi\\r\\n\nenvelope: from=<a> to=<sales@acme.example>\n"),
            "");
}

TEST(DialogueParser, NamesTheLineOfAMistake) {
  EXPECT_EQ(error_of("# x\nrole: king\nS: 220 *"), "t:2: unknown directive or value");
  EXPECT_EQ(error_of("limit: nothing=1\nS: 220 *"), "t:1: no such limit");
  EXPECT_EQ(error_of("S: 220 *\nC: \\q"), "t:2: unknown escape");
  EXPECT_EQ(error_of("S: 220 *\nhello"), "t:2: not a line of a script");
  EXPECT_EQ(error_of("S: 220 *\nrole: mx"), "t:2: directives stand before the dialogue");
  EXPECT_EQ(error_of("# nothing"), "t: no dialogue in it");
}

TEST(DialogueParser, Escapes) {
  EXPECT_EQ(*unescape("a\\r\\n\\t\\\\\\x7f"), "a\r\n\t\\\x7f");
  EXPECT_EQ(*unescape("\\0"), std::string(1, '\0'));
  EXPECT_EQ(*unescape("<\\{3*ab\\r}>"), "<ab\rab\rab\r>");
  EXPECT_EQ(*unescape("\\{2*\\{3*x}y}"), "xxxyxxxy");
  EXPECT_EQ(*unescape("\\base64{\\0a\\0b}"), "AGEAYg==");
  EXPECT_FALSE(unescape("\\{x*a}").ok());
  EXPECT_FALSE(unescape("\\{3*a").ok());
  EXPECT_FALSE(unescape("\\xg0").ok());
  EXPECT_FALSE(unescape("\\").ok());
}

}  // namespace
}  // namespace smtp_test
