#include "core/base/log_writer.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/log.h"

namespace base {
namespace {

class LogWriterTest : public ::testing::Test {
 protected:
  LogWriterTest() { EXPECT_EQ(pipe(pipe_), 0); }
  ~LogWriterTest() override {
    close(pipe_[0]);
    close(pipe_[1]);
  }

  void log(std::string_view line, bool at_once = false) {
    LogWriter::carry(pipe_[1], std::string(line) + "\n", at_once);
  }
  // What comes within `wait_ms`.
  std::string read_some(int wait_ms) const {
    pollfd ready{pipe_[0], POLLIN, 0};
    if (poll(&ready, 1, wait_ms) != 1) return {};
    std::string text(65536, '\0');
    text.resize(static_cast<std::size_t>(read(pipe_[0], text.data(), text.size())));
    return text;
  }

  int pipe_[2] = {-1, -1};
};

TEST_F(LogWriterTest, WithoutAWriterALineIsThereAtOnce) {
  log("one");
  EXPECT_EQ(read_some(0), "one\n");
}

TEST_F(LogWriterTest, AnUrgentLineIsThereAtOnceAndSoIsWhatCameBefore) {
  const LogWriter writer(pipe_[1]);
  log("one");
  read_some(10'000);  // the thread pauses now
  log("two");
  log("three", true);
  EXPECT_EQ(read_some(0), "two\nthree\n");
}

TEST_F(LogWriterTest, LinesComeByThemselvesAndTogether) {
  const LogWriter writer(pipe_[1]);
  for (int i = 0; i < 3; ++i) log(std::to_string(i));
  std::string text;
  while (text.size() < 6) text += read_some(10'000);
  EXPECT_EQ(text, "0\n1\n2\n");
}

TEST_F(LogWriterTest, TheEndWritesWhatIsThere) {
  {
    const LogWriter writer(pipe_[1]);
    for (int i = 0; i < 100; ++i) log("line");
  }
  EXPECT_EQ(read_some(0).size(), 500U);
}

TEST_F(LogWriterTest, LinesOfManyThreadsStayWholeAndInOrder) {
  constexpr int kThreads = 4, kLines = 20'000;
  std::string text;
  std::thread reader([&] {
    while (text.size() < kThreads * kLines * 8UL) text += read_some(10'000);
  });
  {
    const LogWriter writer(pipe_[1]);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([this, t] {
        for (int i = 0; i < kLines; ++i) {
          log(std::to_string(t) + "-" + std::to_string(10'000 + i), i % 1000 == 0);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  reader.join();
  int next[kThreads] = {};
  for (const std::string_view line : split(text, '\n')) {
    if (line.empty()) continue;
    ASSERT_EQ(line.size(), 7U) << line;
    int& expected = next[line[0] - '0'];
    EXPECT_EQ(line.substr(2), std::to_string(10'000 + expected++));
  }
}

TEST_F(LogWriterTest, AFailureOfTheProgramLeavesNothingUnwritten) {
  EXPECT_EXIT(
      {
        const LogWriter writer(pipe_[1]);
        log("one");
        read_some(10'000);
        log("last words");
        std::abort();
      },
      ::testing::KilledBySignal(SIGABRT), "");
  EXPECT_EQ(read_some(0), "last words\n");
}

}  // namespace
}  // namespace base
