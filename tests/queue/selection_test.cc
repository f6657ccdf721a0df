// Filters: what lists show and what orders to many are about.
#include <algorithm>
#include <atomic>
#include <functional>
#include <set>

#include "queue/support.h"

namespace queue {
namespace {

class SelectionTest : public StoreTest {
 protected:
  // 600 messages of two deliveries each; `i` makes them differ.
  void SetUp() override {
    open();
    std::atomic<int> open_calls = 600;
    for (int i = 0; i < 600; ++i) {
      NewMessage message = new_message("", "c");
      message.message.tenant = i % 2 == 0 ? "acme" : "other";
      message.message.arrival_ms = 1000 * i;
      message.message.envelope.mail_from = i % 3 == 0 ? "Anna@customer.example" : "";
      message.message.envelope.recipients[0].address = "r" + std::to_string(i) + "@acme.example";
      message.deliveries = {delivery_to("backend:x", i), delivery_to("backend:y", i)};
      if (i % 4 == 0) message.deliveries[1].state = State::kHeld;
      ids_in_order_.push_back(message.message.id);
      store_->submit(std::move(message), [&](Failure failure) {
        EXPECT_EQ(failure, Failure::kNone);
        --open_calls;
      });
    }
    while (open_calls > 0) {
    }
  }
  std::vector<std::pair<std::string, std::uint32_t>> all_of(const Filter& filter, int& pages) {
    std::vector<std::pair<std::string, std::uint32_t>> found;
    std::optional<DeliveryName> after;
    for (pages = 0; pages < 100;) {
      ++pages;
      const Selection page = store_->select(filter, after);
      for (const DeliveryName& name : page.deliveries)
        found.emplace_back(name.id.str(), name.index);
      after = page.next;
      if (!after) break;
    }
    return found;
  }
  std::vector<base::Id> ids_in_order_;
};

TEST_F(SelectionTest, EveryFilterSelectsWhatItsNameSays) {
  struct Case {
    const char* shows;
    std::function<void(Filter&)> set;
    std::size_t deliveries;
  };
  const Case cases[] = {
      {"nothing asked", [](Filter&) {}, 1200},
      {"tenant", [](Filter& f) { f.tenant = "acme"; }, 600},
      {"domain", [](Filter& f) { f.domain = "acme.example"; }, 1200},
      {"another domain", [](Filter& f) { f.domain = "b.example"; }, 0},
      {"destination", [](Filter& f) { f.destination = "backend:y"; }, 600},
      {"state", [](Filter& f) { f.state = State::kHeld; }, 150},
      {"destination and state",
       [](Filter& f) {
         f.destination = "backend:x";
         f.state = State::kHeld;
       },
       0},
      {"sender, whatever its case", [](Filter& f) { f.sender = "anna@customer.example"; }, 400},
      {"a part of a sender", [](Filter& f) { f.sender = "anna"; }, 0},
      {"recipient", [](Filter& f) { f.recipient = "R17@acme.example"; }, 2},
      {"before", [](Filter& f) { f.arrived_before_ms = 100'000; }, 200},
      {"after", [](Filter& f) { f.arrived_after_ms = 100'000; }, 998},
      {"between",
       [](Filter& f) {
         f.arrived_after_ms = 0;
         f.arrived_before_ms = 3000;
       },
       4},
      {"all together",
       [](Filter& f) {
         f.tenant = "acme";
         f.destination = "backend:y";
         f.sender = "anna@customer.example";
         f.arrived_before_ms = 60'000;
       },
       10},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.shows);
    Filter filter;
    c.set(filter);
    EXPECT_EQ(store_->list(filter).total, c.deliveries);
    int pages = 0;
    const auto found = all_of(filter, pages);
    EXPECT_EQ(found.size(), c.deliveries);
    EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
    EXPECT_EQ(std::set(found.begin(), found.end()).size(), c.deliveries) << "one came twice";
    EXPECT_GE(pages, static_cast<int>(c.deliveries / 256));
  }
}

TEST_F(SelectionTest, AnOrderToOneDeliveryLeavesTheOthers) {
  const base::Id id = ids_in_order_[1];
  const auto order = [&](Store::Order what, std::uint32_t index) {
    return wait_for([&](Store::OnDone done) {
      store_->order(what, {id, index}, "why", std::move(done));
    });
  };
  EXPECT_EQ(order(Store::Order::kHold, 1), Failure::kNone);
  EXPECT_EQ(store_->delivery(id, 0)->state, State::kWaiting);
  EXPECT_EQ(store_->delivery(id, 1)->state, State::kHeld);
  EXPECT_EQ(store_->delivery(id, 1)->last_reply, "why");
  EXPECT_EQ(order(Store::Order::kRemove, 0), Failure::kNone);
  EXPECT_FALSE(store_->delivery(id, 0));
  EXPECT_TRUE(store_->find(id));
  EXPECT_EQ(order(Store::Order::kRemove, 0), Failure::kNotFound);
  EXPECT_EQ(order(Store::Order::kRemove, 1), Failure::kNone);
  EXPECT_FALSE(store_->find(id));  // with its last delivery
  EXPECT_EQ(store_->check(nullptr).damaged, 0U);
}

}  // namespace
}  // namespace queue
