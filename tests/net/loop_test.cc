#include "core/net/loop.h"

#include <sys/eventfd.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "net/fixture.h"

namespace {

using LoopTest = test::NetTest;

TEST_F(LoopTest, RunsWhatWasPostedInOrderAlsoFromBeforeRun) {
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) loop.post([&, i] { order.push_back(i); });
  loop.stop();
  EXPECT_EQ(loop.posted(), 101U);
  EXPECT_FALSE(loop.in_loop_thread());
  loop.post([&] { order.push_back(-1); });
  loop.run();
  ASSERT_GE(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_F(LoopTest, TakesTasksFromManyThreadsEachInItsOrder) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 20'000;
  std::vector<int> next(kThreads, 0);
  int ran = 0;
  int out_of_order = 0;
  int elsewhere = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        loop.post([&, t, i] {
          const auto thread = static_cast<std::size_t>(t);
          if (next[thread]++ != i) ++out_of_order;
          if (!loop.in_loop_thread()) ++elsewhere;
          if (++ran == kThreads * kTasks) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(ran, kThreads * kTasks);
  EXPECT_EQ(out_of_order, 0);
  EXPECT_EQ(elsewhere, 0);
}

TEST_F(LoopTest, StopFromAnotherThreadWakesASleepingLoop) {
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    loop.stop();
  });
  loop.run();
  stopper.join();
}

TEST_F(LoopTest, ATaskThatPostsItselfDoesNotStarveTimersAndSockets) {
  int rounds = 0;
  std::function<void()> again = [&] {
    ++rounds;
    loop.defer(again);
  };
  loop.defer(again);
  run_ms(30);
  EXPECT_GT(rounds, 10);
}

TEST_F(LoopTest, WhatTasksAndKeptObjectsHoldGoesWithTheLoop) {
  auto token = std::make_shared<int>(1);
  {
    net::Loop other;
    other.post([token] {});
    struct PostsWhenItGoes {
      net::Loop& loop;
      std::shared_ptr<int> token;
      ~PostsWhenItGoes() {
        loop.post([t = token] {});
      }
    };
    other.keep(std::make_shared<PostsWhenItGoes>(other, token));
    auto released = std::make_shared<PostsWhenItGoes>(other, token);
    other.keep(released);
    other.release(released.get());
    EXPECT_EQ(released.use_count(), 1);
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(LoopTest, TimersFireInOrderOfTheirTimes) {
  std::string order;
  net::Timer late(loop, [&] { order += 'c'; });
  net::Timer early(loop, [&] { order += 'a'; });
  net::Timer middle(loop, [&] { order += 'b'; });
  late.start_ms(60);
  early.start_ms(0);
  middle.start_ms(30);
  EXPECT_TRUE(late.running());
  run_until([&] { return order.size() == 3; });
  EXPECT_EQ(order, "abc");
  EXPECT_FALSE(late.running());
}

TEST_F(LoopTest, TimerKeepsItsTimeAlsoAfterLongWork) {
  std::chrono::steady_clock::time_point started, fired;
  net::Timer timer(loop, [&] {
    fired = std::chrono::steady_clock::now();
    loop.stop();
  });
  loop.post([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
    started = std::chrono::steady_clock::now();
    timer.start_ms(100);
  });
  loop.run();
  EXPECT_GE(fired - started, std::chrono::milliseconds(90));
}

TEST_F(LoopTest, RestartingReplacesAndStoppingCancels) {
  int fired = 0;
  net::Timer restarted(loop, [&] { ++fired; });
  net::Timer stopped(loop, [&] { fired += 100; });
  restarted.start_ms(5);
  restarted.start_ms(20);
  stopped.start_ms(5);
  stopped.stop();
  EXPECT_FALSE(stopped.running());
  {
    net::Timer destroyed(loop, [&] { fired += 100; });
    destroyed.start_ms(5);
  }
  run_ms(60);
  EXPECT_EQ(fired, 1);
}

TEST_F(LoopTest, ATimerMayDestroyItselfAndUseWhatItCaptured) {
  auto text = std::make_shared<std::string>("captured");
  std::string seen;
  std::unique_ptr<net::Timer> timer;
  timer = std::make_unique<net::Timer>(loop, [&, text] {
    timer.reset();
    seen = *text;
    loop.stop();
  });
  timer->start_ms(1);
  loop.run();
  EXPECT_EQ(seen, "captured");
  EXPECT_EQ(text.use_count(), 1);
}

TEST_F(LoopTest, FdWatchTellsWhatIsReadyAndMayBeDestroyedInside) {
  const Pair pair = tcp_pair();
  bool readable = false;
  bool writable = false;
  auto text = std::make_shared<std::string>("captured");
  std::string seen;
  std::unique_ptr<net::FdWatch> watch;
  watch = std::make_unique<net::FdWatch>(loop, pair.ours, [&, text](bool r, bool w) {
    readable = readable || r;
    writable = writable || w;
    if (w) watch->want(true, false);
    if (!r) return;
    watch.reset();
    seen = *text;
  });
  run_ms(10);
  EXPECT_FALSE(writable) << "wants nothing until told";
  watch->want(true, true);
  EXPECT_TRUE(run_until([&] { return writable; }));
  EXPECT_FALSE(readable);
  send_raw(pair.theirs, "x");
  EXPECT_TRUE(run_until([&] { return readable; }));
  EXPECT_EQ(seen, "captured");
  ::close(pair.ours);
  ::close(pair.theirs);
}

TEST_F(LoopTest, WithoutDescriptorsTheConstructorThrows) {
  SKIP_WHERE_DESCRIPTORS_ARE_NEEDED();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{3, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_THROW(net::Loop(), std::runtime_error);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
