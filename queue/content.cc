#include "queue/content.h"

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/log.h"
#include "queue/environment.h"

namespace queue {
namespace {

constexpr std::size_t kWriteSize = 64 * base::kKiB;
constexpr std::uint64_t kWritebackSize = base::kMiB;

}  // namespace

std::uint32_t checksum(std::uint32_t so_far, std::string_view bytes) {
  if (bytes.empty()) return so_far;  // a null pointer would begin anew
  return libdeflate_crc32(so_far, bytes.data(), bytes.size());
}

std::uint32_t checksum_join(std::uint32_t first, std::uint32_t second, std::uint64_t second_size) {
  return static_cast<std::uint32_t>(
      crc32_combine(first, second, static_cast<z_off_t>(second_size)));
}

StoredContent::StoredContent(std::shared_ptr<SegmentDirectory> segments,
                             std::shared_ptr<Pressure> pressure, std::uint64_t memory_max,
                             std::uint64_t octets_expected)
    : segments_(std::move(segments)),
      pressure_(std::move(pressure)),
      memory_max_(memory_max),
      charge_(pressure_) {
  if (octets_expected <= memory_max_) memory_.reserve(octets_expected);
}

StoredContent::~StoredContent() {
  if (file_ && !kept_) segments_->remove(file_->number());
}

Failure StoredContent::append(std::string_view bytes) {
  if (failure_ != Failure::kNone) return failure_;
  if (pressure_->is_poisoned()) return failure_ = Failure::kFailed;
  crc_ = checksum(crc_, bytes);
  // Large pieces in turn, so that memory stays bounded whatever the caller appends at once.
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kWriteSize);
    bytes.remove_prefix(piece.size());
    memory_ += piece;
    const std::uint64_t most = file_ || pressure_->is_busy() ? kWriteSize : memory_max_;
    if (memory_.size() > most && spill() != Failure::kNone) return failure_;
  }
  charge_.set(static_cast<std::int64_t>(memory_.size()));
  return Failure::kNone;
}

Failure StoredContent::finish() {
  if (failure_ == Failure::kNone && file_ && !memory_.empty()) return spill();
  return failure_;
}

Failure StoredContent::spill() {
  if (!segments_->has_room(memory_.size())) return fail(ENOSPC);
  int code = 0;
  if (!file_) file_ = segments_->create(SegmentKind::kOwn, code);
  if (file_) code = file_->write(kSegmentHeader + written_, memory_);
  if (code != 0) return fail(code);
  written_ += memory_.size();
  memory_.clear();
  charge_.set(0);
  if (written_ - hinted_ >= kWritebackSize) {
    file_->start_writeback(kSegmentHeader + hinted_, written_ - hinted_);
    hinted_ = written_;
  }
  return Failure::kNone;
}

Failure StoredContent::fail(int code) {
  failure_ = is_no_room(code)         ? Failure::kFull
             : is_no_descriptor(code) ? Failure::kBusy
                                      : Failure::kFailed;
  base::log_error("queue cannot write a message", {{"reason", std::strerror(code)}});
  if (failure_ == Failure::kFull) pressure_->set_full("the disk of the queue is full");
  memory_ = {};
  charge_.set(0);
  return failure_;
}

bool StoredContent::read(std::uint64_t offset, std::span<char> into) const {
  if (failure_ != Failure::kNone || offset > size() || into.size() > size() - offset) return false;
  if (offset < written_) {
    const std::size_t want = std::min<std::uint64_t>(written_ - offset, into.size());
    std::size_t got = 0;
    if (file_->read(kSegmentHeader + offset, into.first(want), got) != 0 || got != want) {
      return false;
    }
    offset += want;
    into = into.subspan(want);
  }
  if (!into.empty()) std::memcpy(into.data(), memory_.data() + (offset - written_), into.size());
  return true;
}

base::Result<std::size_t> StoredReader::read(std::uint64_t offset, std::span<char> into) const {
  std::size_t filled = 0;
  while (filled < into.size() && offset + filled < size()) {
    const std::uint64_t at = offset + filled;
    const bool in_prefix = at < body_.prefix_size;
    const std::uint64_t left = in_prefix ? body_.prefix_size - at : size() - at;
    const std::uint64_t place =
        in_prefix ? body_.prefix_offset + at : body_.content_offset + (at - body_.prefix_size);
    const std::size_t want = std::min<std::uint64_t>(left, into.size() - filled);
    std::size_t got = 0;
    if (const int code = file_->read(place, into.subspan(filled, want), got)) {
      return base::error(std::string("cannot read the message: ") + std::strerror(code));
    }
    if (got != want) return base::error("the message is damaged: its segment file is too short");
    filled += got;
  }
  if (!check(offset, std::string_view(into.data(), filled))) {
    return base::error("the message is damaged: its checksum is wrong");
  }
  return filled;
}

base::Result<std::size_t> RecentReader::read(std::uint64_t offset, std::span<char> into) const {
  std::size_t filled = 0;
  for (const std::string* part : {&entry_->prefix, &entry_->content}) {
    const std::uint64_t skip = std::min<std::uint64_t>(offset, part->size());
    const std::size_t n = std::min<std::uint64_t>(part->size() - skip, into.size() - filled);
    std::memcpy(into.data() + filled, part->data() + skip, n);
    filled += n;
    offset -= skip;
  }
  return filled;
}

bool StoredReader::check(std::uint64_t offset, std::string_view bytes) const {
  const std::lock_guard lock(mutex_);
  if (offset != checked_ || bytes.empty()) return true;
  crc_ = checksum(crc_, bytes);
  checked_ += bytes.size();
  return checked_ < size() || crc_ == body_.checksum;
}

}  // namespace queue
