#include "queue/journal.h"

#include <algorithm>
#include <cstring>

#include "core/base/log.h"
#include "queue/change_log.h"
#include "queue/content.h"
#include "queue/record_bytes.h"

namespace queue {
namespace {

constexpr std::string_view kMagic = "relaydJ\n";
constexpr std::string_view kPlaceKey = "journal";
constexpr std::size_t kPieceOctets = 256 * base::kKiB;
// Far beyond what a group commit may hold, and little enough to be read into memory.
constexpr std::uint64_t kChangesMax = 256 * base::kMiB;

std::uint32_t seal(std::string_view head, std::string_view uuid, std::uint64_t segment,
                   std::uint64_t offset) {
  Writer place(16);
  place.fixed(segment, 8);
  place.fixed(offset, 8);
  return checksum(checksum(checksum(0, uuid), place.take()), head);
}

// Octets that the file has, or an error; fewer than asked for is the end of the file.
base::Result<std::string> read_octets(const SegmentFile& file, std::uint64_t offset,
                                      std::uint64_t octets) {
  std::string bytes(octets, '\0');
  std::size_t got = 0;
  if (const int code = file.read(offset, bytes, got)) {
    return base::error(std::string("the queue's journal cannot be read: ") + std::strerror(code));
  }
  bytes.resize(got);
  return bytes;
}

base::Result<bool> is_whole(const SegmentFile& file, std::uint64_t offset, const FrameHead& head) {
  std::uint32_t crc = 0;
  for (std::uint64_t done = 0; done < head.bodies_size;) {
    const auto piece = read_octets(file, offset + kFrameHead + done,
                                   std::min<std::uint64_t>(head.bodies_size - done, kPieceOctets));
    if (!piece) return piece.error();
    if (piece->empty()) return false;
    crc = checksum(crc, *piece);
    done += piece->size();
  }
  return crc == head.bodies_crc;
}

std::optional<JournalPlace> decode_place(std::string_view value) {
  Reader in(value);
  JournalPlace place;
  place.segment = in.fixed(8);
  place.offset = in.fixed(8);
  return in.done() ? std::optional(place) : std::nullopt;
}

}  // namespace

std::string encode_head(const FrameHead& head, std::string_view uuid, std::uint64_t segment,
                        std::uint64_t offset) {
  Writer out(kFrameHead);
  for (const char c : kMagic) out.octet(static_cast<std::uint8_t>(c));
  out.fixed(head.bodies_size, 8);
  out.fixed(head.changes_size, 8);
  out.fixed(head.bodies_crc, 4);
  out.fixed(head.changes_crc, 4);
  std::string bytes = out.take();
  Writer end(8);
  end.fixed(seal(bytes, uuid, segment, offset), 4);
  end.fixed(0, 4);
  return bytes + end.take();
}

std::optional<FrameHead> decode_head(std::string_view bytes, std::string_view uuid,
                                     std::uint64_t segment, std::uint64_t offset) {
  if (bytes.size() != kFrameHead || !bytes.starts_with(kMagic)) return std::nullopt;
  Reader in(bytes.substr(kMagic.size()));
  FrameHead head;
  head.bodies_size = in.fixed(8);
  head.changes_size = in.fixed(8);
  head.bodies_crc = static_cast<std::uint32_t>(in.fixed(4));
  head.changes_crc = static_cast<std::uint32_t>(in.fixed(4));
  const auto sealed = static_cast<std::uint32_t>(in.fixed(4));
  const bool is_ours = sealed == seal(bytes.substr(0, kFrameHead - 8), uuid, segment, offset) &&
                       in.fixed(4) == 0 && in.done() && head.changes_size <= kChangesMax;
  return is_ours ? std::optional(head) : std::nullopt;
}

std::optional<JournalPlace> journal_place(const Txn& txn) {
  const auto value = txn.get(Table::kMeta, kPlaceKey);
  return value ? decode_place(*value) : std::nullopt;
}

std::optional<JournalPlace> journal_place(const Draft& draft) {
  const Draft::Value* value = draft.find(Table::kMeta, kPlaceKey);
  return value != nullptr && *value ? decode_place(**value) : std::nullopt;
}

void put_journal_place(Txn& txn, const JournalPlace& place) {
  Writer out(16);
  out.fixed(place.segment, 8);
  out.fixed(place.offset, 8);
  txn.put(Table::kMeta, kPlaceKey, out.take());
}

base::Result<std::uint64_t> read_journal(SegmentDirectory& segments, std::string_view uuid,
                                         JournalPlace& place, Draft& draft) {
  std::uint64_t octets = 0;
  std::shared_ptr<SegmentFile> file;
  for (;;) {
    if (!file) {
      if (segments.file_size(place.segment) <= place.offset) return octets;
      auto found = segments.find(place.segment);
      if (!found) return found.error();
      file = found.take();
    }
    const auto bytes = read_octets(*file, place.offset, kFrameHead);
    if (!bytes) return bytes.error();
    const auto head = decode_head(*bytes, uuid, place.segment, place.offset);
    if (!head) return octets;
    // The sizes are of the head, which is sealed, but not yet of a file that has them.
    if (head->bodies_size > file->size() || head->frame_size() > file->size()) break;
    const auto whole = is_whole(*file, place.offset, *head);
    if (!whole) return whole.error();
    if (!*whole) break;
    const auto log =
        read_octets(*file, place.offset + kFrameHead + head->bodies_size, head->changes_size);
    if (!log) return log.error();
    if (log->size() != head->changes_size || checksum(0, *log) != head->changes_crc) break;
    if (!redo(draft, *log)) {
      return base::error("the queue's journal was written by another version of relayd");
    }
    octets += log->size();
    place.offset += head->frame_size();
    const auto next = journal_place(draft);
    if (!next || next->segment == place.segment) continue;
    if (next->segment < place.segment) {  // numbers only grow: a journal does not go in circles
      return base::error("the queue's journal goes on in segment " + std::to_string(next->segment) +
                         ", which is older than segment " + std::to_string(place.segment) +
                         "; restore the queue from a copy, or salvage it");
    }
    place = *next;
    file.reset();
  }
  base::log_info("queue drops what was not written to its end",
                 {{"segment", place.segment}, {"offset", place.offset}});
  return octets;
}

}  // namespace queue
