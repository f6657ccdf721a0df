#include "relayd/egress/outgoing.h"

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
    const queue::Store& store, queue::Message message, queue::Delivery delivery,
    const base::Limits& limits) {
  auto reader = store.open_content(message);
  if (!reader) return Failure{false, reader.message()};
  auto headers =
      read_header_section(**reader, static_cast<std::size_t>(limits.header_size) + kPieceOctets);
  if (!headers) return Failure{false, headers.message()};
  std::unique_ptr<Outgoing> out(new Outgoing());
  out->headers_ = headers.take();
  if (!message.guard.empty()) {
    const auto scanned =
        mail::Headers::scan(out->headers_, static_cast<std::size_t>(limits.header_fields));
    if (!scanned) return Failure{true, "the stored header is damaged: " + scanned.message()};
    if (const auto checked = policy::check_headers(message.guard, *scanned); !checked) {
      return Failure{true, checked.message()};
    }
  }
  out->body_offset_ = (*reader)->prefix_size() + out->headers_.size() + 2;  // behind the empty line
  out->message_ = std::move(message);
  out->delivery_ = std::move(delivery);
  out->reader_ = reader.take();
  return out;
}

base::Result<std::string_view> Outgoing::next_piece() {
  piece_.resize(kPieceOctets);
  const auto got = reader_->read(offset_, piece_);
  if (!got) return got.error();
  piece_.resize(*got);
  std::string_view body = piece_;
  if (offset_ < body_offset_) {
    body.remove_prefix(std::min<std::uint64_t>(body.size(), body_offset_ - offset_));
  }
  digest_.update(body);
  offset_ += *got;
  return std::string_view(piece_);
}

base::Status Outgoing::check_body() {
  if (offset_ != size()) return base::error("the stored message is shorter than it was");
  if (message_.guard.empty()) return base::Ok{};
  return policy::check_body(message_.guard, digest_.finish());
}

}  // namespace egress
