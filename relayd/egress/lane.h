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
#include "queue/due_window.h"
#include "queue/hindrance.h"
#include "relayd/egress/login_locks.h"
#include "relayd/egress/manners.h"
#include "relayd/egress/rates.h"
#include "relayd/egress/settings.h"
#include "relayd/egress/smtp_delivery.h"
#include "relayd/egress/turns.h"

namespace egress {

// What all lanes have together.
struct LaneShares {
  std::shared_ptr<queue::WindowShare> window;
  Turns turns;
  std::function<void()> turns_change;  // one is free, or somebody waits for one
  std::set<SmtpDelivery*> resting;     // they give way to who waits for a turn
  // Records of all lanes that are being rewritten to say why they wait.
  std::shared_ptr<std::size_t> telling = std::make_shared<std::size_t>(0);
};

class Lane {
 public:
  // `locks` and `shares` are those of all lanes.
  Lane(const Workplace& workplace, LoginLocks& locks, LaneShares& shares, std::string key);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void use(std::shared_ptr<const Settings> settings);
  // A delivery waits until then, as the store has told. `ordered` is the operator's retry or
  // release: it ends the pause after a failed connection.
  void waiting(const Item& item, std::int64_t due_ms, bool ordered);
  // Connections to a smarthost that is no more end; another one is tried at once.
  void accounts_changed();
  // Looks at what is due and may start a connection or set the timer.
  void kick();
  void stop();  // no new connections; those open quit after the message in hand
  // What stands in the way of one of its deliveries now; kTurn: nothing but its time.
  [[nodiscard]] queue::Hindrance why(const Item& item);
  [[nodiscard]] bool idle() const { return connections_.empty() && settling_ == 0; }

 private:
  // What keeps mail back although it is due; for_ms 0: nothing.
  struct Obstacle {
    std::int64_t for_ms = 0;
    std::string why;         // "": nothing to tell
    bool may_expire = true;  // messages may be given up meanwhile
  };
  [[nodiscard]] Obstacle obstacle(const policy::Smarthost& smarthost,
                                  const policy::SmarthostAccount& account);
  void connect(const policy::Smarthost& smarthost, Turns::Kind kind);
  void give_turn_back(Turns::Kind kind);
  [[nodiscard]] bool may_send();
  [[nodiscard]] bool may_rest();
  std::optional<Item> take();
  bool wake_one();
  void it_works();
  void settle(queue::DeliveryUpdate update, bool is_told = false);
  void write_again();
  void settled(queue::DeliveryUpdate again, queue::Failure failure);
  void ended(SmtpDelivery* connection, const Ending& ending);
  void login_rejected(const policy::SmarthostAccount& account, const std::string& why);
  void recall_lock();
  void release();
  bool try_another_host(const policy::Smarthost* smarthost);
  void too_many_connections(const smtp::Reply& reply);
  void put_off(const std::string& why, bool may_expire = true);
  void tell(const std::string& why, std::int64_t until_ms, bool attempted, bool may_expire);
  [[nodiscard]] bool is_in_hand(const Item& item) const { return window_.is_in_hand(item); }

  struct Connection {
    std::unique_ptr<SmtpDelivery> delivery;
    policy::SmarthostAccount account;
    bool is_trial = false;  // of LoginLocks
    Turns::Kind kind = Turns::Kind::kFirst;
  };
  const Workplace& workplace_;
  LoginLocks& locks_;
  LaneShares& shares_;
  const std::string key_;
  std::shared_ptr<const Settings> settings_;
  queue::DueWindow window_;  // what is taken is in hand until its outcome is on disk
  std::map<SmtpDelivery*, Connection> connections_;
  // Outcomes that the store had no room for. They are written again, and nothing is sent meanwhile:
  // a message whose outcome is not known to the queue would be sent twice.
  std::vector<queue::DeliveryUpdate> unwritten_;
  std::size_t settling_ = 0;  // outcomes on their way to the disk
  net::Timer timer_, write_timer_;
  std::optional<policy::Smarthost> tried_;  // the last one connected to
  std::int64_t not_before_ms_ = 0;          // steady: the reconnect interval
  // After a connection of no use the whole lane pauses, so that what waits goes out over one
  // connection when the smarthost is back, and a dead one is not asked anew by every message.
  std::int64_t paused_until_ms_ = 0;   // wall
  std::uint32_t failures_ = 0;         // connections of no use in a row
  std::string trouble_;                // why the last of them was
  std::int64_t trouble_since_ms_ = 0;  // wall: the first of them
  Rates rates_;
  ConnectionCap cap_;
  std::size_t host_ = 0;             // of the smarthost's hosts, the one in use
  std::int64_t first_again_ms_ = 0;  // steady: then the first host is tried again
  std::size_t tell_left_ = 0;        // records that may still be rewritten to say why they wait
  bool doubtful_ = false;            // the account's last login, of this lane, failed
  bool stopping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace egress
