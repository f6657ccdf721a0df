#include "relayd/tickets/body.h"

#include <algorithm>
#include <cstring>

#include "core/base/bytes.h"

namespace tickets {
namespace {

constexpr std::size_t kRawChunk = 48 * 1024;  // a multiple of 3: 64 KiB of base64

std::size_t copy_from(const std::string& text, std::uint64_t offset, std::span<char> into) {
  const std::size_t count = std::min<std::size_t>(into.size(), text.size() - offset);
  std::memcpy(into.data(), text.data() + offset, count);
  return count;
}

}  // namespace

Body::Body(std::string head, std::shared_ptr<const queue::ContentReader> message, Encoding encoding,
           std::string tail)
    : head_(std::move(head)),
      tail_(std::move(tail)),
      message_(std::move(message)),
      encoding_(encoding),
      middle_size_(encoding == Encoding::kRaw ? message_->size() : (message_->size() + 2) / 3 * 4) {
}

base::Result<std::size_t> Body::read(std::uint64_t offset, std::span<char> into) const {
  if (into.empty() || offset >= size()) return std::size_t{0};
  if (offset < head_.size()) return copy_from(head_, offset, into);
  offset -= head_.size();
  if (offset >= middle_size_) return copy_from(tail_, offset - middle_size_, into);
  if (encoding_ == Encoding::kBase64) return read_base64(offset, into);
  into = into.first(
      static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), middle_size_ - offset)));
  auto count = message_->read(offset, into);
  if (count.ok() && *count == 0)
    return base::error("the stored message is shorter than its record");
  return count;
}

base::Result<std::size_t> Body::read_base64(std::uint64_t offset, std::span<char> into) const {
  const std::uint64_t group = offset / 4;
  const auto skip = static_cast<std::size_t>(offset % 4);
  const std::uint64_t groups_left = middle_size_ / 4 - group;
  const auto groups = static_cast<std::size_t>(
      std::min<std::uint64_t>({(skip + into.size() + 3) / 4, kRawChunk / 3, groups_left}));
  std::string raw(groups * 3, '\0');
  std::size_t have = 0;
  // All groups but the last of the message need three octets: a short read is continued.
  while (have < raw.size()) {
    const auto count = message_->read(group * 3 + have, std::span(raw).subspan(have));
    if (!count.ok()) return count.error();
    if (*count == 0) break;
    have += *count;
  }
  if (have < raw.size() && group * 3 + have < message_->size()) {
    return base::error("the stored message is shorter than its record");
  }
  const std::string encoded = base::base64_encode(std::string_view(raw).substr(0, have));
  if (encoded.size() <= skip) return base::error("the stored message is shorter than its record");
  return copy_from(encoded, skip, into);
}

}  // namespace tickets
