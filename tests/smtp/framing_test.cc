// LineReader and DataReader: whatever the cuts, the same result.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/smtp/data_reader.h"
#include "core/smtp/line_reader.h"

namespace smtp {
namespace {

// ---- DataReader ---------------------------------------------------------------------------------

struct Outcome {
  std::string content;  // only where there is no fault
  ContentFault fault = ContentFault::kNone;
  bool ended = false;
  std::size_t used = 0;
  bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& o) {
  return out << "fault " << static_cast<int>(o.fault)
             << (o.ended ? " ended after " : " open after ") << o.used << " with "
             << testing::PrintToString(o.content);
}

constexpr std::uint64_t kLineMax = 12;
constexpr std::uint64_t kSizeMax = 60;

Outcome read_pieces(const std::vector<std::string_view>& pieces, DataReader::Framing framing) {
  DataReader reader(framing, kLineMax, kSizeMax);
  Outcome outcome;
  for (const std::string_view piece : pieces) {
    std::string buffer(piece);
    const DataReader::Piece got = reader.read(buffer);
    EXPECT_TRUE(reader.fault() == ContentFault::kNone || got.content.empty());
    outcome.content.append(got.content.data(), got.content.size());
    outcome.used += got.used;
    outcome.ended = got.end;
    if (got.end) break;
    EXPECT_EQ(got.used, piece.size());
  }
  if (framing == DataReader::Framing::kChunks) reader.finish();
  outcome.fault = reader.fault();
  if (outcome.fault != ContentFault::kNone) outcome.content.clear();
  return outcome;
}

// A second reading of the rules, octet by octet and without a thought for speed.
Outcome expected(std::string_view input, DataReader::Framing framing) {
  const bool dots = framing == DataReader::Framing::kDots;
  Outcome outcome;
  std::string_view body = input;
  if (dots) {
    std::size_t end = input.substr(0, 3) == ".\r\n" ? 0 : input.find("\r\n.\r\n");
    if (end != std::string_view::npos) {
      outcome.ended = true;
      outcome.used = end == 0 && input.substr(0, 3) == ".\r\n" ? 3 : end + 5;
      body = input.substr(0, outcome.used - 3);
    }
  }
  if (!outcome.ended) outcome.used = input.size();
  // What may become the end is not content yet.
  if (dots && !outcome.ended && (input == ".\r" || input.ends_with("\r\n.\r")))
    body.remove_suffix(1);
  const auto blame = [&](ContentFault fault) {
    if (outcome.fault == ContentFault::kNone) outcome.fault = fault;
  };
  std::uint64_t line = 0;
  std::uint64_t size = 0;
  bool line_start = true;
  for (std::size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    const bool stuffing = dots && line_start && c == '.';
    const bool crlf_end = c == '\n' && i > 0 && body[i - 1] == '\r';
    line_start = crlf_end;
    if (i > 0 && body[i - 1] == '\r' && c != '\n') blame(ContentFault::kBareCr);
    if (stuffing) continue;
    if (c == '\n' && !crlf_end) blame(ContentFault::kBareLf);
    if (c == '\0') blame(ContentFault::kNul);
    if (line + 1 > kLineMax)
      blame(ContentFault::kLongLine);
    else if (size + 1 > kSizeMax)
      blame(ContentFault::kTooLarge);
    ++line;
    ++size;
    if (crlf_end) line = 0;
    outcome.content += c;
  }
  if (!dots && !body.empty() && body.back() == '\r') blame(ContentFault::kBareCr);
  if (outcome.fault != ContentFault::kNone) outcome.content.clear();
  return outcome;
}

const std::vector<std::string>& tricky_inputs() {
  using namespace std::string_literals;
  static const std::vector<std::string> inputs = {
      ".\r\n",
      "\r\n.\r\n",
      "a\r\n.\r\n",
      "..\r\n.\r\n",
      "...\r\n..a\r\n.\r\nrest",
      ".a\r\n.\r\n",
      "a\r\n.b\r\n.\r\nMAIL\r\n",
      "a\r\n. \r\n.\r\n",
      "a\n.\n\r\n.\r\n",
      "a\n.\r\n\r\n.\r\n",
      "a\r\n.\nb\r\n.\r\n",
      "a\r.\rb\r\n.\r\n",
      "a\r\n.\rb\r\n.\r\n",
      "a\r\n.\r\r\n.\r\n",
      "a\r\r\n.\r\n",
      "\n.\r\n\r\n.\r\n",
      "\r.\r\n.\r\n",
      "a\0b\r\n.\r\n"s,
      "\r\n.\0\r\n.\r\n"s,
      "1234567890\r\n.\r\n",
      "12345678901\r\n.\r\n",
      ".1234567890\r\n.\r\n",
      "123456789012345\nx\r\n.\r\n",
      "a\r\nb\r\nc\r\nd\r\ne\r\nf\r\ng\r\nh\r\ni\r\nj\r\nk\r\nl\r\nm\r\nn\r\no\r\np\r\nq\r\nr\r\n."
      "\r\n",
      "1234567890\r\n1234567890\r\n1234567890\r\n1234567890\r\n1234567890\r\n.\r\n",
      "1234567890\r\n1234567890\r\n1234567890\r\n1234567890\r\n1234567890\r\n1\r\n.\r\n",
      "a\r\n.",
      "a\r\n.\r",
      "a\r",
      "",
  };
  return inputs;
}

TEST(DataReader, SecondReadingKnowsTheEnd) {
  // The reference itself, on cases done by hand.
  using F = ContentFault;
  const auto dots = DataReader::Framing::kDots;
  EXPECT_EQ(expected("..a\r\n.\r\nx", dots), (Outcome{".a\r\n", F::kNone, true, 8}));
  EXPECT_EQ(expected(".\r\n", dots), (Outcome{"", F::kNone, true, 3}));
  EXPECT_EQ(expected("a\n.\n\r\n.\r\n", dots), (Outcome{"", F::kBareLf, true, 9}));
}

TEST(DataReader, EveryCutIntoThree) {
  for (const auto framing : {DataReader::Framing::kDots, DataReader::Framing::kChunks}) {
    for (const std::string& input : tricky_inputs()) {
      const Outcome want = expected(input, framing);
      const std::string_view all(input);
      for (std::size_t a = 0; a <= input.size(); ++a)
        for (std::size_t b = a; b <= input.size(); ++b)
          ASSERT_EQ(read_pieces({all.substr(0, a), all.substr(a, b - a), all.substr(b)}, framing),
                    want)
              << testing::PrintToString(input) << " cut at " << a << " and " << b;
    }
  }
}

// Every string of up to seven octets over the octets that matter, whole and octet by octet.
TEST(DataReader, EveryShortInput) {
  constexpr std::string_view kOctets("\r\n.a\0", 5);
  std::size_t count = 0;
  const std::function<void(const std::string&)> check = [&](const std::string& input) {
    std::vector<std::string_view> octets;
    for (std::size_t i = 0; i < input.size(); ++i)
      octets.push_back(std::string_view(input).substr(i, 1));
    for (const auto framing : {DataReader::Framing::kDots, DataReader::Framing::kChunks}) {
      const Outcome want = expected(input, framing);
      ASSERT_EQ(read_pieces({input}, framing), want) << testing::PrintToString(input);
      ASSERT_EQ(read_pieces(octets, framing), want) << testing::PrintToString(input);
    }
    ++count;
    if (input.size() == 7) return;
    for (const char c : kOctets) check(input + c);
  };
  check("");
  EXPECT_EQ(count, 97656U);
}

TEST(DataReader, RepliesSayWhatToDo) {
  for (const auto fault : {ContentFault::kBareCr, ContentFault::kBareLf, ContentFault::kNul,
                           ContentFault::kLongLine}) {
    EXPECT_EQ(fault_reply(fault, 10, 20).code, 550);
    EXPECT_EQ(fault_reply(fault, 10, 20).enhanced, "5.6.0");
  }
  EXPECT_EQ(fault_reply(ContentFault::kTooLarge, 10, 20).wire(),
            "552 5.3.4 Refused: the message is larger than 20 octets; send less or split it\r\n");
}

// ---- LineReader ---------------------------------------------------------------------------------

std::vector<std::string> read_lines(std::string_view input, std::size_t piece) {
  LineReader reader;
  std::vector<std::string> lines;
  while (!input.empty()) {
    std::string_view now = input.substr(0, piece);
    while (!now.empty()) {
      const LineReader::Read read = reader.read(now, 10);
      now.remove_prefix(read.used);
      EXPECT_LE(reader.line().size(), 10U);
      if (read.state == LineReader::State::kLine)
        lines.push_back("line " + std::string(reader.line()));
      if (read.state == LineReader::State::kTooLong) lines.emplace_back("too long");
      if (read.state == LineReader::State::kBareLf) lines.emplace_back("bare LF");
    }
    input.remove_prefix(std::min(piece, input.size()));
  }
  if (reader.in_line()) lines.emplace_back("open");
  return lines;
}

TEST(LineReader, SameLinesForEveryPieceSize) {
  using Lines = std::vector<std::string>;
  const std::vector<std::pair<std::string, Lines>> cases = {
      {"NOOP\r\nQUIT\r\n", {"line NOOP", "line QUIT"}},
      {"\r\n\r\nX", {"line ", "line ", "open"}},
      {"12345678\r\n", {"line 12345678"}},
      {"123456789\r\nA\r\n", {"too long", "line A"}},
      {std::string(100, 'x') + "\r\nA\r\n", {"too long", "line A"}},
      {"A\nB\r\n", {"bare LF", "line B"}},
      {std::string(100, 'x') + "\nB\r\n", {"bare LF", "line B"}},
      {"A\rB\r\n", {"line A\rB"}},
      {"A\r\r\n", {"line A\r"}},
      {"\n", {"bare LF"}},
      {"\r", {"open"}},
  };
  for (const auto& [input, want] : cases)
    for (std::size_t piece = 1; piece <= input.size(); ++piece)
      EXPECT_EQ(read_lines(input, piece), want) << testing::PrintToString(input) << " by " << piece;
}

}  // namespace
}  // namespace smtp
