// kill -9 under load: what was answered is there, byte for byte, and nothing is half there.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "queue/support.h"

namespace queue {
namespace {

// What the child says through the pipe, before or after a call.
struct Word {
  enum What : std::uint32_t { kSubmitted = 1, kFinishing = 2, kFinished = 3 };
  What what;
  std::uint32_t seed;
  base::Id id;
};

std::string content_of(std::uint32_t seed) {
  return random_text(seed % 7 == 0 ? 150'000 : seed % 5000, seed);
}

class Crash : public StoreTest {
 protected:
  Crash() {
    limits_.segment_size = 2 * base::kMiB;
    limits_.checkpoint_interval = 2;  // kills meet checkpoints, too
  }

  [[noreturn]] void load_until_killed(int pipe_fd, std::uint32_t round) {
    alarm(120);  // should it hang, the parent sees the wrong signal
    auto opened = try_open();
    if (!opened) _exit(3);
    store_ = opened.take();
    const base::SystemClock clock;
    base::IdGenerator ids(clock);
    const auto say = [pipe_fd](const Word& word) {
      if (write(pipe_fd, &word, sizeof word) != static_cast<ssize_t>(sizeof word)) _exit(4);
    };
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        for (std::uint32_t i = 0;; ++i) {
          const std::uint32_t seed = (round * 6 + t) * 100'000 + i;
          NewMessage message = new_message("prefix", content_of(seed));
          const base::Id id = message.message.id = ids.next();
          message.message.details = std::to_string(seed);
          if (submit(std::move(message)) != Failure::kNone) _exit(5);
          say({Word::kSubmitted, seed, id});
          if (i % 3 != 0) continue;
          say({Word::kFinishing, seed, id});
          if (finish(id) != Failure::kNone) _exit(6);
          say({Word::kFinished, seed, id});
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    _exit(7);
  }
};

TEST_F(Crash, NothingAnsweredIsLost) {
  std::mt19937 random(17);
  std::map<base::Id, std::uint32_t> there;
  std::size_t answered = 0;
  for (std::uint32_t round = 0; round < 25; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      load_until_killed(ends[1], round);
    }
    close(ends[1]);
    // After so many words, and then at any moment: neither depends on how busy the machine is.
    const std::size_t words_max = 1 + random() % 100;
    const std::chrono::microseconds delay(random() % 5000);
    std::size_t words = 0;
    std::set<base::Id> finishing, finished;
    Word word{};
    while (read(ends[0], &word, sizeof word) == static_cast<ssize_t>(sizeof word)) {
      if (++words == words_max) {
        std::this_thread::sleep_for(delay);
        kill(child, SIGKILL);
      }
      if (word.what == Word::kSubmitted) there[word.id] = word.seed, ++answered;
      if (word.what == Word::kFinishing) finishing.insert(word.id);
      if (word.what == Word::kFinished) {
        there.erase(word.id);
        finishing.erase(word.id);
        finished.insert(word.id);
      }
    }
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        << "the child ended by itself, wait status " << status;

    open();
    for (const auto& [id, seed] : there) {
      if (finishing.contains(id) && !store_->find(id)) continue;  // done, but not yet answered
      ASSERT_TRUE(read_back(id) == "prefix" + content_of(seed))
          << "round " << round << " seed " << seed << ": " << read_back(id).substr(0, 100);
    }
    for (const base::Id& id : finished) ASSERT_FALSE(store_->find(id)) << "came back";
    // What else is there was submitted and not answered: whole as well.
    std::uint64_t deliveries = 0;
    std::set<std::uint64_t> segments;
    for (const Store::Due& due : all_due()) {
      ++deliveries;
      const auto message = store_->find(due.id);
      ASSERT_TRUE(message);
      segments.insert(message->body.segment);
      const auto seed = static_cast<std::uint32_t>(std::stoul(message->details));
      ASSERT_TRUE(read_back(due.id) == "prefix" + content_of(seed));
      EXPECT_EQ(store_->delivery(due.id, 0)->destination, "smarthost:acme.example");
      there[due.id] = seed;
    }
    EXPECT_EQ(deliveries, store_->message_count());
    EXPECT_EQ(deliveries, store_->list({}).total);
    EXPECT_EQ(segment_files(), segments.size());
    // Most of it goes, so that the next rounds meet old segments, partly in use.
    for (auto at = there.begin(); at != there.end();) {
      if (random() % 10 == 0) {
        ++at;
        continue;
      }
      if (store_->find(at->first)) {
        ASSERT_EQ(finish(at->first), Failure::kNone);
      }
      at = there.erase(at);
    }
    std::erase_if(there, [&](const auto& entry) { return !store_->find(entry.first); });
    store_.reset();
  }
  EXPECT_GT(answered, 250U);  // of 25 times 50 words, of which half and more are answers
  printf("%zu messages were answered before the kills\n", answered);
}

}  // namespace
}  // namespace queue
