// The queue's records, and a commit by itself: what the store does for a message beside waiting for
// the disk. Commits by batch and size, in time, are commit_bench.cc's.
#include <memory>
#include <semaphore>

#include "operation.h"
#include "queue/codec.h"
#include "scratch_store.h"

namespace bench {
namespace {

queue::Message message() {
  queue::Message message;
  message.tenant = "acme";
  message.domain = "acme.example";
  message.support_address = "support@acme.example";
  message.envelope.mail_from = "anna@customer.example";
  message.envelope.recipients.push_back({"support@acme.example", "", ""});
  message.helo = "mail.customer.example";
  message.remote_ip = "192.0.2.1";
  message.trust = "password";
  message.judgement = std::string(600, 'j');
  message.arrival_ms = 1'769'860'800'000;
  message.expiry_ms = 1'769'900'000'000;
  return message;
}

queue::Delivery delivery() {
  queue::Delivery delivery;
  delivery.destination = "backend:acme";
  delivery.recipients.emplace_back();
  return delivery;
}

Run encode() {
  return [message = message(), delivery = delivery()] {
    require(!queue::encode_message(message).empty(), "a record");
    require(!queue::encode_delivery(delivery).empty(), "a record");
  };
}

Run decode() {
  return
      [message = queue::encode_message(message()), delivery = queue::encode_delivery(delivery())] {
        require(queue::decode_message({}, message).has_value(), "a message");
        require(queue::decode_delivery({}, 0, delivery).has_value(), "a delivery");
      };
}

Run commit(std::size_t octets) {
  return [scratch = std::make_shared<ScratchStore>(base::kGiB), octets, number = 0]() mutable {
    std::binary_semaphore done(0);
    scratch->store->submit(scratch->message(++number, octets), [&](queue::Failure failure) {
      require(failure == queue::Failure::kNone, "the commit succeeds");
      done.release();
    });
    done.acquire();
  };
}

}  // namespace

Operations queue_operations() {
  return {{"queue/records/encode", encode},
          {"queue/records/decode", decode},
          {"queue/commit/alone/4KiB", [] { return commit(4 << 10); }, 4 << 10},
          {"queue/commit/alone/64KiB", [] { return commit(64 << 10); }, 64 << 10}};
}

}  // namespace bench
