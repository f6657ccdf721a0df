// One smarthost: what waits for it, the connections to it, and when the next may be made (product
// rule O1). Loop's thread only; owned by the scheduler.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/net/loop.h"
#include "relayd/egress/settings.h"
#include "relayd/egress/smtp_delivery.h"

namespace egress {

class Lane {
 public:
  Lane(const Workplace& workplace, std::string key);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void use(std::shared_ptr<const Settings> settings);
  // Adds a waiting delivery, or moves one that is known to another time. One that waited and is due
  // now is the operator's retry: it ends the pause after a failed connection.
  void waiting(const Item& item, std::int64_t due_ms);
  // Connections to a smarthost that is no more end; another one is tried at once.
  void accounts_changed();
  // Looks at what is due and may start a connection or set the timer.
  void kick();
  void stop();  // no new connections; those open quit after the message in hand
  [[nodiscard]] bool idle() const { return connections_.empty(); }
  [[nodiscard]] std::size_t waiting_count() const { return due_of_.size(); }

 private:
  void connect(const policy::Smarthost& smarthost);
  std::optional<Item> take();
  void settle(queue::DeliveryUpdate update);
  void settled(queue::DeliveryUpdate again, queue::Failure failure);
  void ended(SmtpDelivery* connection, const std::string& refused);
  void put_off(const std::string& why);
  [[nodiscard]] std::size_t due_count(std::int64_t now_ms, std::size_t count_max) const;

  const Workplace& workplace_;
  const std::string key_;
  std::shared_ptr<const Settings> settings_;
  std::set<std::pair<std::int64_t, Item>> by_due_;
  std::map<Item, std::int64_t> due_of_;
  std::map<SmtpDelivery*, std::unique_ptr<SmtpDelivery>> connections_;
  std::set<Item> in_hand_;  // taken, until its outcome is on disk
  // Outcomes that the store had no room for. They are written again, and nothing is sent meanwhile:
  // a message whose outcome is not known to the queue would be sent twice.
  std::vector<queue::DeliveryUpdate> unwritten_;
  net::Timer timer_, write_timer_;
  std::optional<policy::Smarthost> tried_;  // the last one connected to
  std::int64_t not_before_ms_ = 0;          // steady: the reconnect interval
  // After a connection of no use the whole lane pauses, so that what waits goes out over one
  // connection when the smarthost is back, and a dead one is not asked anew by every message.
  std::int64_t paused_until_ms_ = 0;  // wall
  std::uint32_t failures_ = 0;        // connections of no use in a row
  bool stopping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace egress
