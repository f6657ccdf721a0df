// The journal: what was answered and is not in the database yet. It lies in the shared segments,
// frame behind frame, each with the bodies of a group commit and the changes of the database that
// belong to them, so that one write and one sync make both durable
// (docs/decisions/0028-the-journal.md).
//
// A frame: head (below), bodies, changes (queue/change_log.h). The database says where the journal
// goes on (segment, offset); what lies before that is in the database. The first thing behind it
// that is no whole frame is the end: it was never answered. A frame whose changes name another
// place of the journal is the last one of its segment.
#pragma once

#include <cstdint>
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
std::optional<JournalPlace> journal_place(const Draft& draft);
void put_journal_place(Txn& txn, const JournalPlace& place);

// Does in the draft the changes of each whole frame from `place` on, and moves `place` behind them;
// the count of their octets. Errors: a file is there and cannot be read, or holds what this relayd
// does not know.
base::Result<std::uint64_t> read_journal(SegmentDirectory& segments, std::string_view uuid,
                                         JournalPlace& place, Draft& draft);

}  // namespace queue
