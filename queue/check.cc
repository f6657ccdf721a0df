#include "queue/check.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "core/base/limits.h"
#include "queue/codec.h"
#include "queue/content.h"
#include "queue/tables.h"

namespace queue {
namespace {

constexpr std::size_t kRowsOfPage = 256;
constexpr std::size_t kFindingsMax = 1000;
constexpr std::size_t kReadSize = 256 * base::kKiB;

class Check {
 public:
  Check(const Environment& environment, SegmentDirectory& segments,
        const std::function<bool(std::uint64_t)>& progress)
      : environment_(environment), segments_(segments), progress_(progress) {}

  CheckReport run() {
    check_segments();
    walk(Table::kMessage,
         [this](const Txn& txn, auto key, auto value) { check_message(txn, key, value); });
    walk(Table::kDelivery,
         [this](const Txn& txn, auto key, auto value) { check_delivery(txn, key, value); });
    walk(Table::kRecipient,
         [this](const Txn& txn, auto key, auto value) { check_recipient(txn, key, value); });
    walk(Table::kDue, [this](const Txn& txn, auto key, auto value) { check_due(txn, key, value); });
    walk(Table::kDestination,
         [this](const Txn& txn, auto key, auto) { check_destination(txn, key); });
    return std::move(report_);
  }

 private:
  void find(std::string what, std::string id, std::string problem) {
    ++report_.damaged;
    if (report_.findings.size() >= kFindingsMax) return;
    report_.findings.push_back({std::move(what), std::move(id), std::move(problem)});
  }
  bool go_on() {
    if (progress_ && !progress_(report_.messages)) report_.complete = false;
    return report_.complete;
  }

  template <typename Look>
  void walk(Table table, Look look) {
    std::string last;
    for (bool more = true; more && go_on();) {
      {
        const Txn txn(environment_, Txn::Mode::kRead);
        Cursor cursor(txn, table);
        more = cursor.seek(last);
        if (more && !last.empty() && cursor.key() == last) more = cursor.next();
        for (std::size_t row = 0; more && row < kRowsOfPage; ++row, more = cursor.next()) {
          last = cursor.key();
          look(txn, cursor.key(), cursor.value());
        }
        if (txn.error() != 0) {
          find("database", "", std::string("a table cannot be read: ") + mdb_strerror(txn.error()));
        }
      }
      check_bytes();
    }
  }

  // The sums of what messages use, in one transaction: they change together with the messages.
  void check_segments() {
    std::map<std::uint64_t, SegmentUse> counted;
    const Txn txn(environment_, Txn::Mode::kRead);
    Cursor messages(txn, Table::kMessage);
    for (bool more = messages.seek({}); more; more = messages.next()) {
      const auto body = decode_body(messages.value());
      if (!body) continue;
      SegmentUse& use = counted[body->segment];
      use.messages += 1;
      use.octets += static_cast<std::int64_t>(body->size());
    }
    Cursor rows(txn, Table::kSegment);
    for (bool more = rows.seek({}); more; more = rows.next()) {
      const auto number = parse_segment_key(rows.key());
      const auto use = decode_segment(rows.value());
      if (!number || !use) {
        find("segment", "", "a row of the table of segments cannot be read");
        continue;
      }
      ++report_.segments;
      const SegmentUse real = counted[*number];
      counted.erase(*number);
      if (real.messages == use->messages && real.octets == use->octets) continue;
      find("segment", std::to_string(*number),
           "its row says " + std::to_string(use->messages) + " messages of " +
               std::to_string(use->octets) + " octets, the messages say " +
               std::to_string(real.messages) + " of " + std::to_string(real.octets));
    }
    for (const auto& [number, use] : counted) {
      find("segment", std::to_string(number),
           "no row says that " + std::to_string(use.messages) + " messages are in it");
    }
  }

  void check_message(const Txn& txn, std::string_view key, std::string_view value) {
    ++report_.messages;
    const auto id = base::Id::from_key(key);
    if (!id) return find("message", "", "a key of the table of messages is no queue id");
    auto message = decode_message(*id, value);
    if (!message) return find("message", id->str(), why_unreadable(value));
    Cursor cursor(txn, Table::kDelivery);
    if (!cursor.seek(key) || !cursor.key().starts_with(key)) {
      find("message", id->str(), "it has no delivery: nothing will ever send or remove it");
    }
    bodies_.push_back(*std::move(message));
  }

  void check_delivery(const Txn& txn, std::string_view key, std::string_view value) {
    ++report_.deliveries;
    const auto name = parse_delivery_key(key);
    if (!name) return find("delivery", "", "a key of the table of deliveries cannot be read");
    const std::string id = name->id.str();
    const std::string which = "delivery " + std::to_string(name->index);
    const auto record = txn.get(Table::kMessage, name->id.key());
    if (!record) return find("delivery", id, which + " belongs to no message");
    const auto delivery = decode_delivery(name->id, name->index, value);
    if (!delivery) return find("delivery", id, which + ": " + why_unreadable(value));
    const auto message = decode_message(name->id, *record);
    for (const RecipientStatus& recipient : delivery->recipients) {
      if (message && recipient.index >= message->envelope.recipients.size()) {
        find("delivery", id, which + " names a recipient that the message has not");
      }
    }
    const auto due = txn.get(Table::kDue, due_key(delivery->destination, delivery->next_attempt_ms,
                                                  name->id, name->index));
    if (delivery->state == State::kWaiting && due != delivery->destination) {
      find("due", id, which + " waits, but will not be found when it is due");
    }
    if (!txn.get(Table::kDestination,
                 destination_key(delivery->destination, name->id, name->index))) {
      find("destination", id, which + " is not in the index of " + delivery->destination);
    }
  }

  void check_recipient(const Txn& txn, std::string_view key, std::string_view value) {
    const auto name = key.size() == 24 ? parse_delivery_key(key.substr(0, 20)) : std::nullopt;
    if (!name) return find("delivery", "", "a key of the table of recipients cannot be read");
    if (!txn.get(Table::kDelivery, key.substr(0, 20))) {
      find("delivery", name->id.str(), "a recipient's state belongs to no delivery");
    } else if (!decode_recipient(0, value)) {
      find("delivery", name->id.str(), "a recipient's state: " + why_unreadable(value));
    }
  }

  void check_due(const Txn& txn, std::string_view key, std::string_view value) {
    const auto due = parse_due_key(key);
    if (!due) return find("due", "", "a key of the index of due times cannot be read");
    const auto record = txn.get(Table::kDelivery, delivery_key(due->id, due->index));
    const auto delivery = record ? decode_delivery(due->id, due->index, *record) : std::nullopt;
    if (delivery && delivery->state == State::kWaiting && delivery->destination == value &&
        due_key(value, delivery->next_attempt_ms, due->id, due->index) == key) {
      return;
    }
    find("due", due->id.str(), "the index of due times names a delivery that does not wait so");
  }

  void check_destination(const Txn& txn, std::string_view key) {
    const std::size_t zero = key.find('\0');
    const auto name =
        zero == std::string_view::npos ? std::nullopt : parse_delivery_key(key.substr(zero + 1));
    if (!name) return find("destination", "", "a key of the index of destinations cannot be read");
    const auto record = txn.get(Table::kDelivery, delivery_key(name->id, name->index));
    const auto delivery = record ? decode_delivery(name->id, name->index, *record) : std::nullopt;
    if (delivery && destination_key(delivery->destination, name->id, name->index) == key) return;
    find("destination", name->id.str(),
         "the index of destinations names a delivery that does not go there");
  }

  void check_bytes() {
    for (const Message& message : bodies_) {
      report_.octets += message.body.size();
      std::string problem = problem_of(message.body);
      // Finished, or copied forward, since it was looked up?
      while (!problem.empty()) {
        const Txn txn(environment_, Txn::Mode::kRead);
        const auto record = txn.get(Table::kMessage, message.id.key());
        const auto now = record ? decode_body(*record) : std::nullopt;
        if (!now) problem.clear();
        if (!now || now->segment == message.body.segment || moved_.contains(now->segment)) break;
        moved_.insert(now->segment);
        problem = problem_of(*now);
      }
      moved_.clear();
      if (!problem.empty()) find("bytes", message.id.str(), problem);
    }
    bodies_.clear();
  }

  // "" where every octet is there as it came in.
  std::string problem_of(const BodyRef& body) {
    auto file = segments_.find(body.segment);
    if (!file) return file.message();
    const StoredReader reader(file.take(), body);
    std::uint64_t at = 0;
    do {
      const auto n = reader.read(at, buffer_);
      if (!n) return n.message();
      at += *n;
    } while (at < body.size());
    return "";
  }

  const Environment& environment_;
  SegmentDirectory& segments_;
  const std::function<bool(std::uint64_t)>& progress_;
  CheckReport report_;
  std::vector<Message> bodies_;    // of a page, whose bytes are to be read
  std::set<std::uint64_t> moved_;  // segments that one message was copied to meanwhile
  std::vector<char> buffer_ = std::vector<char>(kReadSize);
};

}  // namespace

CheckReport check_queue(const Environment& environment, SegmentDirectory& segments,
                        const std::function<bool(std::uint64_t)>& progress) {
  return Check(environment, segments, progress).run();
}

}  // namespace queue
