#include "relayd/admin/why.h"

#include <memory>
#include <utility>

namespace admin {
namespace {

// A message has one delivery as a rule; one with more of them than this shows the first.
constexpr std::size_t kDeliveriesMax = 20;

struct Inquiry {
  std::vector<Situation> situations;
  std::size_t left = 0;
  std::function<void(const std::vector<Situation>&)> done;
};

}  // namespace

void ask_why(const AdminOptions& options, const queue::Message& message,
             std::function<void(const std::vector<Situation>&)> done) {
  auto inquiry = std::make_shared<Inquiry>();
  inquiry->done = std::move(done);
  const auto trail = options.store->trail(message.id);
  for (queue::Delivery& delivery : options.store->deliveries(message.id)) {
    if (inquiry->situations.size() == kDeliveriesMax) break;
    Situation& situation = inquiry->situations.emplace_back();
    situation.message = message;
    situation.before = options.store->count_before(delivery, kCountedBefore);
    situation.delivery = std::move(delivery);
    situation.trail = trail;
    situation.now_ms = options.clock->wall_ms();
  }
  inquiry->left = inquiry->situations.size();
  if (inquiry->left == 0 || !options.why) return inquiry->done(inquiry->situations);
  for (std::size_t i = 0; i < inquiry->situations.size(); ++i) {
    const queue::Delivery& delivery = inquiry->situations[i].delivery;
    options.why(delivery.destination, {delivery.id, delivery.index},
                [inquiry, i, loop = options.loop](queue::Hindrance hindrance) {
                  loop->post([inquiry, i, hindrance = std::move(hindrance)] {
                    inquiry->situations[i].hindrance = hindrance;
                    if (--inquiry->left == 0) inquiry->done(inquiry->situations);
                  });
                });
  }
}

}  // namespace admin
