// The durable queue: metadata in LMDB, bodies in append-only segment files, one committer thread
// that writes everything pending as one frame of a journal, with one fdatasync, and brings it into
// LMDB a moment later (docs/decisions/0028-the-journal.md).
// What was reported as done survives kill -9 and power loss; what was not may or may not be there,
// and is then removed on start.
//
// Thread-safe. One Store a state directory: a second process is refused. Owned by main.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/base/limits.h"
#include "core/base/metrics.h"
#include "core/base/result.h"
#include "queue/records.h"
#include "queue/trail_step.h"

namespace queue {

// Typed causes, so that the 4xx blames the right party.
enum class Failure : std::uint8_t {
  kNone,
  kBusy,      // pending octets past the limit, or too many open files: 452 4.3.1, soon better
  kFull,      // no space on disk or in the map: 452 4.3.1
  kFailed,    // an fsync or a commit failed: the store is poisoned, 451 4.3.0 until restarted
  kNotFound,  // no such message or delivery
};

// The bytes of a message on their way in. Small ones stay in memory; one that outgrows
// limits.body_memory goes to a segment file of its own as it comes. Not thread-safe; one session's.
// Destroyed without commit: its file is removed.
class Content {
 public:
  virtual ~Content() = default;
  // kNone, kFull, kBusy or kFailed; after a failure the content is of no use any more. Writes to a
  // file, never syncs.
  virtual Failure append(std::string_view bytes) = 0;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  // What was appended so far, for re-reading before commit (MIME structure); false on I/O error.
  virtual bool read(std::uint64_t offset, std::span<char> into) const = 0;
};

// What a change tells the trail beside itself: a term to find the message by, a word for a person.
// All may be empty; cut and made printable by the store.
struct TrailNote {
  std::string text;        // new message: how it was judged
  std::string message_id;  // new message: of its header
  std::string remote;      // update: the host that was asked
  std::string remote_id;   // update: what the other side calls what it took over
  bool expired = false;    // update: recipients failed because their time is over
};

struct NewMessage {
  Message message;  // body is filled in by the store; the id must be new, kFailed otherwise
  std::string prefix;
  std::unique_ptr<Content> content;  // of the same store's begin_content(); null: no octets
  std::vector<Delivery>
      deliveries;  // at least one, kNotFound otherwise; id and index are filled in
  TrailNote note;
};

// One change to a delivery after an attempt, atomic with `also`: all of it or nothing. Recipients
// that are not named keep their state. A delivery that the operator held meanwhile stays held
// unless it is finished. Replies are kept up to 2048 octets.
struct DeliveryUpdate {
  base::Id id;
  std::uint32_t index = 0;
  std::vector<RecipientStatus> recipients;  // only those that changed
  bool finished = false;          // remove the delivery; the message goes with its last one
  State state = State::kWaiting;  // else: its new state ...
  std::uint32_t attempts = 0;
  std::int64_t next_attempt_ms = 0;
  std::string last_reply;
  std::vector<NewMessage> also;  // e.g. the bounce, in the same transaction
  TrailNote note;
};

// Reads prefix + content of a stored message, positioned, bounded. Keeps its segment file open,
// also when the message is removed meanwhile. A first reading from start to end checks the
// checksum: its last read fails where the bytes are not those that came in. Thread-safe.
class ContentReader {
 public:
  virtual ~ContentReader() = default;
  [[nodiscard]] virtual std::uint64_t prefix_size() const = 0;
  [[nodiscard]] virtual std::uint64_t size() const = 0;  // prefix + content
  // Fills as much of `into` as there is from `offset` on; the count, 0 at the end.
  virtual base::Result<std::size_t> read(std::uint64_t offset, std::span<char> into) const = 0;
};

struct Filter {
  std::string tenant, domain, destination;  // empty: any
  std::string sender, recipient;            // of the envelope, exact but for case; empty: any
  std::optional<State> state;
  std::optional<base::Id> id;
  std::optional<std::int64_t> arrived_before_ms, arrived_after_ms;  // both exclusive
  std::size_t rows_max = 1000;

  // Does it look at more than deliveries?
  [[nodiscard]] bool is_by_message() const {
    return !tenant.empty() || !domain.empty() || !sender.empty() || !recipient.empty() ||
           arrived_before_ms || arrived_after_ms;
  }
  [[nodiscard]] bool is_any() const {
    return !is_by_message() && destination.empty() && !state && !id;
  }
};
struct Row {
  Message message;  // without body bytes
  Delivery delivery;
};
struct Listing {
  std::vector<Row> rows;
  std::uint64_t total = 0;  // matching, also those beyond rows_max
};

// A page of what a filter selects.
struct DeliveryName {
  base::Id id;
  std::uint32_t index = 0;
  auto operator<=>(const DeliveryName&) const = default;
};
struct Selection {
  std::vector<DeliveryName> deliveries;
  std::optional<DeliveryName> next;  // go on behind this one; nullopt: that was all
};

// What is wrong in the queue, as Store::check found it.
struct CheckReport {
  struct Finding {
    std::string what;     // "message", "delivery", "bytes", "due", "destination", "segment"
    std::string id;       // of the message, or the number of the segment
    std::string problem;  // a sentence
  };
  std::uint64_t messages = 0, deliveries = 0, octets = 0, segments = 0;
  std::uint64_t damaged = 0;  // findings, also those beyond the first thousand
  std::vector<Finding> findings;
  bool complete = true;  // false: told to end before the end
};

struct Health {
  Failure failure = Failure::kNone;  // kNone: MAIL may be taken
  std::string reason;                // a sentence for the operator
};

// For tests of failing disks: asked before every call that changes something on disk; 0 lets it
// happen, an errno (or a code of LMDB's) is what it then fails with.
enum class FileCall : std::uint8_t {
  kWrite,   // pwrite of a segment
  kSync,    // fdatasync of a segment, fsync of the directory
  kCommit,  // LMDB's commit, at a checkpoint
  kMap,     // a change of a table, which may need a page of the map
  kCreate,  // a new segment file
  kRemove,  // unlink of one
  kCut,     // ftruncate of one
  kRename,  // of one that becomes a spare, or is no longer one
};
using FaultHook = std::function<int(FileCall)>;

struct StoreOptions {
  std::string directory;  // state_dir/queue; made where it is missing
  const base::Limits* limits = nullptr;
  const base::Clock* clock = nullptr;
  base::Metrics* metrics = nullptr;
  std::int64_t trail_keep_ms = 14 * base::kDay;  // queue.trail; 0: no trail is kept
  FaultHook fault;                               // empty outside tests; called from several threads
};

class Store {
 public:
  using OnDone = std::function<void(Failure)>;
  // A delivery that is waiting, or waits until another moment: told after commit, from the
  // committer's thread, in the order of commits and behind the answers of its own.
  struct Waiting {
    std::string destination;
    base::Id id;
    std::uint32_t index = 0;
    std::int64_t due_ms = 0;
    bool ordered = false;  // by the operator: retry or release
  };
  using OnWaiting = std::function<void(const Waiting&)>;

  // Opens, recovers (cuts torn tails, removes orphans) and starts the committer. Errors: another
  // process has it, a network file system, a newer format, damage, with what to do.
  static base::Result<std::unique_ptr<Store>> open(StoreOptions options);
  ~Store();  // finishes what is pending, answers it, closes

  // `octets_expected` saves copying where it is right, and is no promise.
  std::unique_ptr<Content> begin_content(std::uint64_t octets_expected = 0);
  // Every call is answered exactly once through `on_done`, from the committer's thread, after the
  // change is on disk (kNone) or is not to be relied on (anything else; after kFailed it may be
  // found there at the next start). May be called from callbacks.
  void submit(NewMessage message, OnDone on_done);
  void update(DeliveryUpdate update, OnDone on_done);
  // The operator's changes, to all deliveries of the message; kNotFound where there is none.
  // retry: due now, also what was held. hold: what waits is held, last_reply becomes `reason`.
  // release: what was held is due now, what waits keeps its time. remove: gone, without a bounce.
  void retry(const base::Id& id, OnDone on_done);
  void hold(const base::Id& id, std::string reason, OnDone on_done);
  void release(const base::Id& id, OnDone on_done);
  void remove(const base::Id& id, OnDone on_done);
  // The same for one delivery; the message goes with its last one.
  enum class Order : std::uint8_t { kRetry, kHold, kRelease, kRemove };
  void order(Order order, const DeliveryName& delivery, std::string reason, OnDone on_done);

  // A message is about to be submitted, as long as this lives: others may wait for it, a quarter of
  // a millisecond at most, to share a sync. Any thread.
  [[nodiscard]] std::shared_ptr<void> expect();

  void on_waiting(OnWaiting callback);  // once, before traffic

  // Cheap, no I/O: may MAIL be taken now? kBusy and kFull pass by themselves (room is looked for a
  // few times a second), kFailed does not.
  [[nodiscard]] Health health() const;

  // Reads; any thread. All of them see what was answered before the call. find, deliveries and
  // delivery never wait; the others wait for a commit, a millisecond or so, where there is
  // something to be committed.
  // Null where there is none; what they give is as it was then and never changes.
  [[nodiscard]] std::shared_ptr<const Message> find(const base::Id& id) const;
  [[nodiscard]] std::vector<Delivery> deliveries(const base::Id& id) const;
  [[nodiscard]] std::shared_ptr<const Delivery> delivery(const base::Id& id,
                                                         std::uint32_t index) const;
  [[nodiscard]] base::Result<std::unique_ptr<ContentReader>> open_content(
      const Message& message) const;
  // In order of id, at most limits.queue_list rows. Without a filter its time does not depend on
  // the length of the queue; with one it is a scan (of one destination's deliveries, where that is
  // given).
  [[nodiscard]] Listing list(const Filter& filter) const;
  // What the filter selects behind `after`, in order of id: looks at a bounded number of deliveries
  // a call, so that whoever works through all of them never holds up anybody.
  [[nodiscard]] Selection select(const Filter& filter,
                                 const std::optional<DeliveryName>& after) const;
  // Are messages and deliveries, indexes and bytes as they should be? Takes long; the queue goes on
  // meanwhile. `progress` is called now and then with the messages looked at; false ends it.
  [[nodiscard]] CheckReport check(const std::function<bool(std::uint64_t)>& progress) const;
  // What happened to a message, in order, also where it is gone; empty where nothing is known.
  [[nodiscard]] std::vector<TrailStep> trail(const base::Id& id) const;
  // The messages that a term finds, the latest first: a Message-ID, an address of the envelope, the
  // id that the other side gave what it took over, the queue id of a message that events are about.
  // Case does not count. Its time depends on the time the trail goes back, not on the messages.
  [[nodiscard]] std::vector<base::Id> find_by_term(std::string_view term,
                                                   std::size_t ids_max) const;
  // How many deliveries to the same destination came before this one; counts up to `most`.
  [[nodiscard]] std::uint64_t count_before(const Delivery& delivery, std::uint64_t most) const;
  struct Due {
    std::int64_t due_ms = 0;  // before 1970 is 0
    base::Id id;
    std::uint32_t index = 0;
    auto operator<=>(const Due&) const = default;  // the order they are in
  };
  struct DuePage {
    std::vector<Due> rows;
    bool complete = false;  // nothing is behind them; false also where the database cannot be read
                            // or has no room for what is in the journal
  };
  // One destination's waiting deliveries in order of due time, at most `rows_max`, starting behind
  // `after` (exclusive). Its time depends on the rows it gives.
  [[nodiscard]] DuePage due(const std::string& destination, const std::optional<Due>& after,
                            std::size_t rows_max) const;
  // The destinations that have waiting deliveries. Its time depends on how many they are, not on
  // the messages. Errors: the database cannot be read.
  struct Destination {
    std::string name;
    std::int64_t first_due_ms = 0;
  };
  [[nodiscard]] base::Result<std::vector<Destination>> destinations() const;
  [[nodiscard]] std::uint64_t message_count() const;

 private:
  Store();
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace queue
