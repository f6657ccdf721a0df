// backlog_fill DIRECTORY MESSAGES DESTINATIONS: fills a queue as a weekend with dead smarthosts
// would, straight through the store. Six of ten messages wait for smarthost:d0.example, three for
// the other smarthosts, one for the back ends; one in a hundred is held.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <semaphore>
#include <string>

#include "queue/store.h"

namespace {

constexpr std::int64_t kWeekend = 48 * base::kHour;

queue::NewMessage make(queue::Store& store, base::IdGenerator& ids, std::int64_t number,
                       std::int64_t destinations, std::int64_t now_ms) {
  queue::NewMessage message;
  const std::int64_t tenth = number % 10;
  const std::int64_t n = tenth < 6 ? 0 : 1 + number / 10 % (destinations - 1);
  const std::string domain = "d" + std::to_string(n) + ".example";
  const bool outbound = tenth < 9;
  message.message.id = ids.next();
  message.message.kind = outbound ? queue::Kind::kOutbound : queue::Kind::kInbound;
  message.message.tenant = "t" + std::to_string(n);
  message.message.domain = domain;
  message.message.support_address = "support@" + domain;
  message.message.arrival_ms = now_ms - kWeekend + number % kWeekend;
  message.message.expiry_ms = now_ms + kWeekend;
  const std::string customer = "c" + std::to_string(number % 50'000) + "@customer.example";
  message.message.envelope.mail_from = outbound ? message.message.support_address : customer;
  message.message.envelope.recipients.push_back(
      {outbound ? customer : message.message.support_address, "", ""});
  message.content = store.begin_content();
  (void)message.content->append("From: " + message.message.envelope.mail_from +
                                "\r\nSubject: number " + std::to_string(number) + "\r\n\r\n" +
                                std::string(300, 'x') + "\r\n");
  queue::Delivery& delivery = message.deliveries.emplace_back();
  delivery.destination = outbound ? "smarthost:" + domain : "backend:t" + std::to_string(n);
  if (number % 100 == 17) delivery.state = queue::State::kHeld;
  // Half is due, half is put off by up to an hour.
  delivery.next_attempt_ms = now_ms + (number % 2) * (number % base::kHour);
  delivery.recipients.emplace_back();
  return message;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: backlog_fill DIRECTORY MESSAGES DESTINATIONS\n", stderr);
    return 2;
  }
  const std::int64_t messages = std::atoll(argv[2]);
  const std::int64_t destinations = std::atoll(argv[3]);
  base::SystemClock clock;
  base::Limits limits;
  base::Metrics metrics;
  base::IdGenerator ids(clock);
  queue::StoreOptions options;
  options.directory = argv[1];
  options.limits = &limits;
  options.clock = &clock;
  options.metrics = &metrics;
  auto store = queue::Store::open(std::move(options));
  if (!store.ok() || destinations < 2) {
    std::fprintf(stderr, "backlog_fill: %s\n",
                 store.ok() ? "2 destinations at least" : store.message().c_str());
    return 1;
  }
  constexpr std::int64_t kAtOnce = 2000;
  std::counting_semaphore<kAtOnce> room(kAtOnce);
  std::atomic<int> failed{0};
  const std::int64_t now_ms = clock.wall_ms();
  for (std::int64_t i = 0; i < messages; ++i) {
    room.acquire();
    (*store)->submit(make(**store, ids, i, destinations, now_ms), [&](queue::Failure failure) {
      if (failure != queue::Failure::kNone) ++failed;
      room.release();
    });
    if (i % 100'000 == 0) std::fprintf(stderr, "\r%lld", static_cast<long long>(i));
  }
  for (std::int64_t i = 0; i < kAtOnce; ++i) room.acquire();
  std::fputs("\r", stderr);
  return failed == 0 ? 0 : 1;
}
