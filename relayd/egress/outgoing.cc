#include "relayd/egress/outgoing.h"

#include <algorithm>
#include <utility>

#include "core/mail/headers.h"

namespace egress {
namespace {

constexpr std::size_t kPieceOctets = 32 * 1024;

}  // namespace

base::Result<std::string> read_header_section(const queue::ContentReader& reader,
                                              std::size_t octets_max) {
  std::string text;
  std::uint64_t offset = reader.prefix_size();
  while (text.size() < octets_max) {
    const std::size_t before = text.size();
    text.resize(before + kPieceOctets);
    const auto got = reader.read(offset, std::span<char>(text).subspan(before));
    if (!got) return got.error();
    text.resize(before + *got);
    offset += *got;
    if (const std::size_t end = mail::header_section_end(text); end != std::string::npos) {
      text.resize(end);
      return text;
    }
    if (*got == 0) break;
  }
  return text;
}

std::variant<std::unique_ptr<Outgoing>, Outgoing::Failure> Outgoing::open(
    const queue::Store& store, std::shared_ptr<const queue::Message> message,
    std::shared_ptr<const queue::Delivery> delivery, const base::Limits& limits) {
  auto reader = store.open_content(*message);
  if (!reader) return Failure{false, reader.message()};
  std::unique_ptr<Outgoing> out(new Outgoing());
  out->reader_ = reader.take();
  // Where the checksum is wrong the guard may know better what it is that changed.
  const auto read = out->read_on();
  if (const auto found = out->find_headers(limits); !found) return Failure{false, found.message()};
  if (!message->guard.empty()) {
    const auto scanned =
        mail::Headers::scan(out->headers_, static_cast<std::size_t>(limits.header_fields));
    if (!scanned) return Failure{true, "the stored header is damaged: " + scanned.message()};
    if (const auto checked = policy::check_headers(message->guard, *scanned); !checked) {
      return Failure{true, checked.message()};
    }
  }
  if (!read) return Failure{false, read.message()};
  // Behind the empty line.
  out->body_offset_ = out->reader_->prefix_size() + out->headers_.size() + 2;
  out->message_ = std::move(message);
  out->delivery_ = std::move(delivery);
  return out;
}

base::Status Outgoing::read_on() {
  if (!buffer_) {
    buffer_octets_ = std::min<std::uint64_t>(kPieceOctets, size());
    buffer_ = std::make_unique_for_overwrite<char[]>(buffer_octets_);
  }
  const auto got = reader_->read(offset_, {buffer_.get(), buffer_octets_});
  if (!got) return got.error();
  offset_ += *got;
  ahead_ = {buffer_.get(), *got};
  return base::Ok{};
}

// Mostly they are in the first piece.
base::Status Outgoing::find_headers(const base::Limits& limits) {
  const std::string_view content =
      ahead_.substr(std::min<std::uint64_t>(reader_->prefix_size(), ahead_.size()));
  if (const std::size_t end = mail::header_section_end(content); end != std::string::npos) {
    headers_ = content.substr(0, end);
    return base::Ok{};
  }
  auto headers =
      read_header_section(*reader_, static_cast<std::size_t>(limits.header_size) + kPieceOctets);
  if (!headers) return headers.error();
  headers_ = headers.take();
  return base::Ok{};
}

base::Result<std::string_view> Outgoing::next_piece() {
  if (ahead_.empty() && offset_ < size()) {
    if (const auto read = read_on(); !read) return read.error();
  }
  const std::string_view piece = std::exchange(ahead_, {});
  std::string_view body = piece;
  const std::uint64_t begin = offset_ - piece.size();
  if (begin < body_offset_) {
    body.remove_prefix(std::min<std::uint64_t>(body.size(), body_offset_ - begin));
  }
  digest_.update(body);
  return piece;
}

base::Status Outgoing::check_body() {
  if (offset_ != size()) return base::error("the stored message is shorter than it was");
  if (message_->guard.empty()) return base::Ok{};
  return policy::check_body(message_->guard, digest_.finish());
}

}  // namespace egress
