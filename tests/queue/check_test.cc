// fsck and salvage: what is wrong is said with its id, and what is well comes out.
#include "queue/check.h"

#include <algorithm>
#include <fstream>
#include <functional>

#include "queue/codec.h"
#include "queue/environment.h"
#include "queue/salvage.h"
#include "queue/support.h"

namespace queue {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTo = "smarthost:acme.example";

class CheckTest : public StoreTest {
 protected:
  void SetUp() override {
    open();
    id_ = submit_text("p", "one");
    other_ = submit_text("p", "two");
    DeliveryUpdate change;
    change.id = id_;
    change.recipients = {{1, RecipientState::kDelivered, "250 ok"}};
    change.next_attempt_ms = 77;
    ASSERT_EQ(update(std::move(change)), Failure::kNone);
    ASSERT_EQ(store_->check(nullptr).damaged, 0U);
    store_.reset();
  }
  // What the check says after `change` was made behind the queue's back.
  CheckReport after(const std::function<void(Txn&)>& change) {
    auto environment = Environment::open(queue_directory(), 64 * base::kMiB);
    EXPECT_TRUE(environment.ok());
    {
      Draft draft;
      Txn txn(**environment, Txn::Mode::kWrite);
      txn.lay_over(nullptr, &draft);
      change(txn);
      txn.write(draft);
      EXPECT_EQ(txn.commit(), 0);
    }
    const auto segments =
        SegmentDirectory::open(queue_directory() + "/segments", (*environment)->uuid(), nullptr);
    return check_queue(**environment, **segments, nullptr);
  }
  base::Id id_, other_;
};

TEST_F(CheckTest, CountsWhatItLookedAt) {
  const CheckReport report = after([](Txn&) {});
  EXPECT_EQ(report.messages, 2U);
  EXPECT_EQ(report.deliveries, 2U);
  EXPECT_EQ(report.octets, 8U);
  EXPECT_EQ(report.segments, 1U);
  EXPECT_EQ(report.damaged, 0U);
  EXPECT_TRUE(report.complete);
}

TEST_F(CheckTest, EveryBrokenReferenceIsFound) {
  struct Case {
    const char* shows;
    std::function<void(Txn&)> change;
    const char* what;
    const char* problem;
  };
  const auto delivery = [this] { return delivery_key(id_, 0); };
  const Case cases[] = {
      {"record", [&](Txn& t) { t.put(Table::kMessage, id_.key(), "\x01garbage"); }, "message",
       "damaged"},
      {"newer record", [&](Txn& t) { t.put(Table::kMessage, id_.key(), "\x63new"); }, "message",
       "version 99"},
      {"no delivery",
       [&](Txn& t) {
         t.remove(Table::kDelivery, delivery());
         t.remove(Table::kDue, due_key(kTo, 77, id_, 0));
       },
       "message", "no delivery"},
      {"no message", [&](Txn& t) { t.remove(Table::kMessage, id_.key()); }, "delivery",
       "no message"},
      {"delivery's record", [&](Txn& t) { t.put(Table::kDelivery, delivery(), "\x01"); },
       "delivery", "damaged"},
      {"not due", [&](Txn& t) { t.remove(Table::kDue, due_key(kTo, 77, id_, 0)); }, "due",
       "will not be found"},
      {"due twice", [&](Txn& t) { t.put(Table::kDue, due_key(kTo, 5, id_, 0), kTo); }, "due",
       "does not wait so"},
      {"no destination",
       [&](Txn& t) {
         t.remove(Table::kDestination, destination_key("smarthost:acme.example", id_, 0));
       },
       "destination", "not in the index"},
      {"wrong destination",
       [&](Txn& t) { t.put(Table::kDestination, destination_key("backend:x", id_, 0), "-"); },
       "destination", "does not go there"},
      {"recipient's state",
       [&](Txn& t) { t.put(Table::kRecipient, recipient_key(id_, 0, 1), "\x07"); }, "delivery",
       "recipient's state"},
      {"recipient of nobody",
       [&](Txn& t) { t.put(Table::kRecipient, recipient_key(id_, 9, 1), encode_recipient({})); },
       "delivery", "no delivery"},
  };
  const fs::path saved = directory_.path() + "/saved";
  fs::copy(queue_directory(), saved, fs::copy_options::recursive);
  for (const Case& c : cases) {
    SCOPED_TRACE(c.shows);
    fs::remove_all(queue_directory());
    fs::copy(saved, queue_directory(), fs::copy_options::recursive);
    const CheckReport report = after(c.change);
    const auto is_it = [&](const CheckReport::Finding& f) {
      return f.what == c.what && f.id == id_.str() &&
             f.problem.find(c.problem) != std::string::npos;
    };
    EXPECT_TRUE(std::any_of(report.findings.begin(), report.findings.end(), is_it))
        << report.findings.size() << " others";
    for (const auto& finding : report.findings) {
      EXPECT_NE(finding.id, other_.str()) << finding.problem;
    }
  }
}

TEST_F(CheckTest, SumsOfSegmentsAndMissingOctetsAreFound) {
  const CheckReport sums = after([](Txn& t) {
    t.put(Table::kSegment, segment_key(1), encode_segment({7, 7}));
  });
  ASSERT_EQ(sums.damaged, 1U);
  EXPECT_EQ(sums.findings[0].what, "segment");
  EXPECT_EQ(sums.findings[0].id, "1");
  fs::remove(queue_directory() + "/segments/0000000000000001");
  const CheckReport bytes = after([](Txn& t) {
    t.put(Table::kSegment, segment_key(1), encode_segment({2, 8}));
  });
  ASSERT_EQ(bytes.damaged, 2U);
  EXPECT_EQ(bytes.findings[0].what, "bytes");
}

TEST_F(CheckTest, EndsWhenTold) {
  open();
  EXPECT_FALSE(store_->check([](std::uint64_t) { return false; }).complete);
}

class SalvageTest : public CheckTest {
 protected:
  base::Status run() {
    SalvageCalls calls;
    calls.message = [this](const Salvaged& found) {
      std::string text(found.content->size(), '\0');
      const auto n = found.content->read(0, text);
      saved_.emplace_back(found.message.id, n ? text : n.message());
      EXPECT_EQ(found.deliveries.size(), 1U);
      return true;
    };
    calls.skipped = [this](const std::string& id, const std::string& why) {
      skipped_.emplace_back(id, why);
    };
    return salvage(queue_directory(), calls);
  }
  std::vector<std::pair<base::Id, std::string>> saved_;
  std::vector<std::pair<std::string, std::string>> skipped_;
};

TEST_F(SalvageTest, WhatIsWellComesOutAndTheRestIsNamed) {
  after([this](Txn& t) { t.put(Table::kMessage, id_.key(), "\x01garbage"); });
  ASSERT_TRUE(run().ok());
  ASSERT_EQ(saved_.size(), 1U);
  EXPECT_EQ(saved_[0].first, other_);
  EXPECT_EQ(saved_[0].second, "ptwo");
  ASSERT_EQ(skipped_.size(), 1U);
  EXPECT_EQ(skipped_[0].first, id_.str());
}

TEST_F(SalvageTest, RefusesAQueueThatIsInUse) {
  open();
  const base::Status refused = run();
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.message().find("another relayd"), std::string::npos) << refused.message();
}

TEST_F(SalvageTest, RefusesANewerSchemaAndGarbage) {
  after([](Txn& t) { t.put(Table::kMeta, "schema", "5"); });
  const base::Status newer = run();
  ASSERT_FALSE(newer.ok());
  EXPECT_NE(newer.message().find("schema 5"), std::string::npos) << newer.message();
  std::ofstream(queue_directory() + "/data.mdb") << random_text(50'000, 1);
  EXPECT_FALSE(run().ok());
}

TEST_F(CheckTest, AStoreOfTheOldSchemaBecomesOneOfTheNew) {
  after([this](Txn& t) {
    t.put(Table::kMeta, "schema", "1");
    for (const auto& [id, due_ms] : {std::pair{id_, std::int64_t{77}}, {other_, 1000}}) {
      EXPECT_TRUE(t.remove(Table::kDue, due_key(kTo, due_ms, id, 0)));
      std::string moment(8, '\0');  // the keys of schema 1 began with it
      moment[6] = static_cast<char>(due_ms >> 8);
      moment[7] = static_cast<char>(due_ms);
      t.put(Table::kDue, moment.append(delivery_key(id, 0)), kTo);
    }
  });
  open();
  EXPECT_EQ(read_back(id_), "pone");
  const auto due = all_due();
  ASSERT_EQ(due.size(), 2U);
  EXPECT_EQ(due[0].id, id_);
  EXPECT_EQ(due[0].due_ms, 77);
  EXPECT_EQ(due[1].id, other_);
  EXPECT_EQ(store_->check(nullptr).damaged, 0U);
  store_.reset();
  after([](Txn& t) { EXPECT_EQ(t.get(Table::kMeta, "schema"), "4"); });
}

}  // namespace
}  // namespace queue
