// The body of one HTTP request: a head and a tail in memory and, between them, the stored message
// as it is or in base64. Nothing of the message is kept: every read goes to the queue's segment
// file, positioned, so that the same body can be signed, sent and sent again. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/base/result.h"
#include "queue/store.h"

namespace tickets {

class Body {
 public:
  enum class Encoding { kRaw, kBase64 };
  Body(std::string head, std::shared_ptr<const queue::ContentReader> message, Encoding encoding,
       std::string tail);

  // Octets of the whole body: the Content-Length.
  [[nodiscard]] std::uint64_t size() const { return head_.size() + middle_size_ + tail_.size(); }
  // Fills as much of `into` as is convenient from `offset` on: at least one octet before the end, 0
  // at the end. Errors: the segment file cannot be read.
  base::Result<std::size_t> read(std::uint64_t offset, std::span<char> into) const;

 private:
  base::Result<std::size_t> read_base64(std::uint64_t offset, std::span<char> into) const;

  std::string head_, tail_;
  std::shared_ptr<const queue::ContentReader> message_;
  Encoding encoding_;
  std::uint64_t middle_size_;
};

}  // namespace tickets
