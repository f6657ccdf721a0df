// The journal: what was answered and is not in the database yet. It lies in the shared segments,
// frame behind frame, each with the bodies of a group commit and the changes of the database that
// belong to them, so that one write and one sync make both durable
// (docs/decisions/0028-the-journal.md).
//
// A frame: head (below), bodies, changes (queue/change_log.h). The database says where the journal
// goes on (segment, offset); what lies before that is in the database. The first thing behind it
// that is no whole frame is the end: it was never answered.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "queue/environment.h"
#include "queue/segment.h"

namespace queue {

inline constexpr std::uint64_t kFrameHead = 40;

struct FrameHead {
  std::uint64_t bodies_size = 0;
  std::uint64_t changes_size = 0;
  std::uint32_t bodies_crc = 0;
  std::uint32_t changes_crc = 0;

  [[nodiscard]] std::uint64_t frame_size() const { return kFrameHead + bodies_size + changes_size; }
};

// Sealed with the queue's uuid and its place, which nobody who sends mail knows: a mail's bytes are
// never taken for a frame.
std::string encode_head(const FrameHead& head, std::string_view uuid, std::uint64_t segment,
                        std::uint64_t offset);
std::optional<FrameHead> decode_head(std::string_view bytes, std::string_view uuid,
                                     std::uint64_t segment, std::uint64_t offset);

struct JournalPlace {
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
};
// Of the table kMeta; nullopt: there has been no journal yet.
std::optional<JournalPlace> journal_place(const Txn& txn);
void put_journal_place(Txn& txn, const JournalPlace& place);

// Gives the changes of each whole frame from `place` on, and moves `place` behind them; until
// `changes` says false. Errors: a file is there and cannot be read.
base::Status read_journal(SegmentDirectory& segments, std::string_view uuid, JournalPlace& place,
                          const std::function<bool(std::string_view changes)>& changes);

}  // namespace queue
