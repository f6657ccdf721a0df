// One message on its way out: read from the store in pieces, every protected header field and the
// body compared with the guard made on entry (product rule O6). Loop's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/base/limits.h"
#include "core/base/result.h"
#include "policy/header_guard.h"
#include "queue/store.h"

namespace egress {

class Outgoing {
 public:
  // Opens the content and checks the header. The error tells a guard's complaint (`guard` set) from
  // a disk that cannot be read.
  struct Failure {
    bool guard = false;
    std::string text;
  };
  static std::variant<std::unique_ptr<Outgoing>, Failure> open(
      const queue::Store& store, std::shared_ptr<const queue::Message> message,
      std::shared_ptr<const queue::Delivery> delivery, const base::Limits& limits);

  [[nodiscard]] const queue::Message& message() const { return *message_; }
  [[nodiscard]] const queue::Delivery& delivery() const { return *delivery_; }
  [[nodiscard]] std::uint64_t size() const { return reader_->size(); }
  // The next piece, valid until the next call; empty at the end. Errors: the disk.
  base::Result<std::string_view> next_piece();
  // When all has been read: is the body the one that came in?
  base::Status check_body();
  // The header section of the message, without our prefix.
  [[nodiscard]] const std::string& headers() const { return headers_; }

 private:
  Outgoing() = default;
  base::Status read_on();
  base::Status find_headers(const base::Limits& limits);

  std::shared_ptr<const queue::Message> message_;
  std::shared_ptr<const queue::Delivery> delivery_;
  std::unique_ptr<queue::ContentReader> reader_;
  std::string headers_;
  std::uint64_t body_offset_ = 0;  // in prefix + content
  std::uint64_t offset_ = 0;       // read so far
  std::unique_ptr<char[]> buffer_;
  std::size_t buffer_octets_ = 0;
  std::string_view ahead_;  // of the buffer: read, not given yet
  policy::BodyDigest digest_;
};

// The header section of a stored message, at most `octets_max` of it.
base::Result<std::string> read_header_section(const queue::ContentReader& reader,
                                              std::size_t octets_max);

}  // namespace egress
