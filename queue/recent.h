// Messages whose state in the database is not the latest, and beside them those that came in just
// now, with their bytes: what can leave at once need not be read back from the disk.
// The committer writes, any thread reads.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "queue/records.h"

namespace queue {

class RecentMessages {
 public:
  // A message as it is now. Never changed once it is here.
  struct Entry {
    bool is_gone = false;  // the message is out of the queue
    Message message;
    std::vector<Delivery> deliveries;
    bool has_bytes = false;
    std::string prefix, content;  // all of them, where has_bytes
  };

  // `octets_max` of bytes may stay after their messages are in the database
  // (limits.recent_octets).
  explicit RecentMessages(std::int64_t octets_max)
      : octets_max_(static_cast<std::uint64_t>(octets_max)) {}

  // Null: the database knows.
  [[nodiscard]] std::shared_ptr<const Entry> find(const base::Id& id) const;

  void put(Entry entry);  // in place of what was known of entry.message.id
  void forget(const base::Id& id);
  // The database has caught up with what was put before mark() said so: of that only bytes are
  // worth keeping, the latest first.
  [[nodiscard]] std::uint64_t mark() const { return next_number_; }
  void committed(std::uint64_t mark) { committed_ = mark; }
  // Lets go of what is not worth keeping any more, looking at `most` of them.
  void let_go(std::size_t most);
  // Of what the database has not yet.
  [[nodiscard]] std::uint64_t uncommitted_octets() const { return uncommitted_octets_; }

 private:
  struct Hash {
    std::size_t operator()(const base::Id& id) const {
      std::uint64_t word = 0;
      std::memcpy(&word, id.bytes.data() + id.bytes.size() - sizeof word, sizeof word);
      return word;
    }
  };
  struct Kept {
    std::shared_ptr<const Entry> entry;
    std::uint64_t number = 0;  // of its putting
  };

  const std::uint64_t octets_max_;
  mutable std::mutex mutex_;
  std::unordered_map<base::Id, Kept, Hash> entries_;
  // The committer's alone: in the order of putting.
  struct Put {
    base::Id id;
    std::uint64_t number = 0;
    std::uint64_t octets = 0;  // of its bytes
  };
  std::deque<Put> bytes_;  // committed
  std::deque<Put> uncommitted_;
  std::uint64_t next_number_ = 0, committed_ = 0;  // those below are in the database
  std::uint64_t octets_ = 0;                       // of bytes_
  std::uint64_t uncommitted_octets_ = 0;
};

}  // namespace queue
