// What is durable and not in the database yet, and its way there: the draft that changes are made
// in, above the draft that is being written, above the database
// (docs/decisions/0035-checkpoints-beside-the-commits.md). The committer's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "queue/checkpointer.h"
#include "queue/draft.h"
#include "queue/environment.h"
#include "queue/journal.h"
#include "queue/segment.h"
#include "queue/tables.h"

namespace queue {

class Checkpoints {
 public:
  // What is to be known of a checkpoint when it begins.
  struct Start {
    std::optional<JournalPlace> place;    // where the journal goes on behind it
    std::optional<std::uint64_t> active;  // the segment that is written to ...
    bool drop_active = false;             // ... which goes where it is empty
    bool needs_segment = false;           // the next one is to be made as well
    std::uint64_t recent = 0;             // RecentMessages::mark()
    std::uint64_t wanted = 0;             // calls of Committer::catch_up() that it answers
  };
  // What follows when it is through.
  struct Done {
    int code = 0;     // 0: it is in the database; else it lies under what came since
    Changes changes;  // usage of segments, and which are empty
    std::vector<std::uint64_t> left;  // segments that the journal had left
    std::shared_ptr<SegmentFile> segment;
    std::uint64_t recent = 0, wanted = 0;
  };

  // `on_done` is called by the checkpointer's thread each time one is through.
  Checkpoints(const Environment& environment, SegmentDirectory& segments,
              std::function<void()> on_done);

  // The tables with all that has been done, to be changed. Its error() tells.
  Txn& look();
  // After an error, and so that LMDB can use again the pages that are read here.
  void look_anew() { snapshot_.reset(); }
  Draft& draft() { return *draft_; }
  void take_up(std::unique_ptr<Draft> draft) { draft_ = std::move(draft); }

  // What a batch did beside the draft is durable. `map_octets` is what it takes of the map.
  void accept(const Changes& changes);
  void add_map_octets(std::uint64_t octets) { map_octets_ += octets; }
  void leave(std::uint64_t segment) { left_.push_back(segment); }
  // For a batch that may yet be undone: what was accepted so far.
  [[nodiscard]] const Changes& accepted() const { return since_; }
  void restore(Changes accepted) { since_ = std::move(accepted); }

  [[nodiscard]] bool is_running() const { return running_ != nullptr; }
  // Nothing is durable that the database does not have.
  [[nodiscard]] bool is_clear() const { return !running_ && draft_->empty(); }
  [[nodiscard]] std::uint64_t octets() const {
    return draft_->octets();
  }  // of memory, to be written
  [[nodiscard]] std::uint64_t map_octets() const;
  // Messages that have their bytes in the segment.
  std::int64_t messages_in(std::uint64_t segment);

  // Not while one is running. 0, or why the tables cannot be read.
  int begin(const Start& start);
  std::optional<Done> result();  // once; nullopt: it is still being written
  Done wait();

 private:
  struct Running {
    std::unique_ptr<Draft> draft;
    Done done;
    std::uint64_t map_octets = 0;
  };
  Done finish(int code);
  void put_back(std::unique_ptr<Draft> draft);

  const Environment& environment_;
  std::unique_ptr<Draft> draft_ = std::make_unique<Draft>();
  Changes since_;                    // what follows from it
  std::vector<std::uint64_t> left_;  // segments that the journal has left meanwhile
  std::uint64_t map_octets_ = 0;     // of the map, generously
  std::unique_ptr<Running> running_;
  std::unique_ptr<Txn> snapshot_;  // the database as it was last read; null: not open
  Checkpointer checkpointer_;      // last: ends first
};

}  // namespace queue
