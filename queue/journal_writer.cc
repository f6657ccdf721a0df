#include "queue/journal_writer.h"

#include <array>
#include <utility>

#include "queue/content.h"

namespace queue {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::array<char, kPage> kZeros{};

}  // namespace

std::optional<std::uint64_t> JournalWriter::number() const {
  return file_ ? std::optional(file_->number()) : std::nullopt;
}

void JournalWriter::take_up(std::shared_ptr<SegmentFile> file, std::uint64_t end) {
  file_ = std::move(file);
  end_ = end;
  is_doubtful_ = false;
}

std::shared_ptr<SegmentFile> JournalWriter::prepare(SegmentDirectory& segments, int& code) {
  auto file = segments.create(SegmentKind::kShared, code);
  if (!file) return nullptr;
  code = file->sync();  // its header, so that a start that looks for the journal can open it
  if (code == 0) code = segments.sync_names();
  if (code == 0) return file;
  segments.remove(file->number());
  return nullptr;
}

void JournalWriter::go_on_in(std::shared_ptr<SegmentFile> file) {
  take_up(std::move(file), kSegmentHeader);
}

JournalWriter::Before JournalWriter::go_on(std::shared_ptr<SegmentFile> file) {
  return {std::exchange(file_, std::move(file)), std::exchange(end_, kSegmentHeader),
          std::exchange(is_doubtful_, false)};
}

void JournalWriter::go_back(Before before) {
  segments_.remove(file_->number());
  file_ = std::move(before.file);
  end_ = before.end;
  is_doubtful_ = before.is_doubtful;
}

void JournalWriter::leave() {
  file_.reset();
  is_doubtful_ = false;
}

int JournalWriter::append(Frame& frame, std::string_view log) {
  FrameHead head;
  head.bodies_size = frame.bodies_size;
  head.bodies_crc = frame.bodies_crc;
  head.changes_size = log.size();
  head.changes_crc = checksum(0, log);
  std::string bytes = encode_head(head, uuid_, file_->number(), end_);
  std::vector<iovec> pieces;
  pieces.reserve(frame.bodies.size() + 3);
  pieces.push_back({bytes.data(), bytes.size()});
  pieces.insert(pieces.end(), frame.bodies.begin(), frame.bodies.end());
  pieces.push_back({const_cast<char*>(log.data()), log.size()});
  // Up to the end of the page: of a file that was there before, it need not be read first.
  const std::uint64_t end = end_ + head.frame_size();
  pieces.push_back({const_cast<char*>(kZeros.data()), kPage - 1 - (end - 1) % kPage});
  int code = file_->write(end_, std::move(pieces));
  if (code == 0) {
    code = file_->sync();
    // A file system that finds the room only now (thin, or copying on write). What was synced
    // before is not in doubt, and the segment is not written to again.
    is_doubtful_ = code != 0;
  }
  if (code != 0) {
    (void)file_->cut(end_);  // nothing of it may be found; and its room is given back
    return code;
  }
  end_ = end;
  return 0;
}

}  // namespace queue
