// The bytes of one message: on their way in (StoredContent) and on their way out (StoredReader).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/base/limits.h"
#include "queue/pressure.h"
#include "queue/recent.h"
#include "queue/segment.h"
#include "queue/store.h"

namespace queue {

// CRC-32 as in zlib and Ethernet.
std::uint32_t checksum(std::uint32_t so_far, std::string_view bytes);
// Of the bytes of both, one behind the other.
std::uint32_t checksum_join(std::uint32_t first, std::uint32_t second, std::uint64_t second_size);

// In memory up to limits.body_memory, then in an own segment. It may outlive the store.
class StoredContent final : public Content {
 public:
  StoredContent(std::shared_ptr<SegmentDirectory> segments, std::shared_ptr<Pressure> pressure,
                std::uint64_t memory_max, std::uint64_t octets_expected);
  ~StoredContent() override;

  Failure append(std::string_view bytes) override;
  [[nodiscard]] std::uint64_t size() const override { return written_ + memory_.size(); }
  bool read(std::uint64_t offset, std::span<char> into) const override;

  // Nothing more will come: what is still in memory goes to the own file, if there is one.
  Failure finish();
  // From here on the committer's. The own file, null where all is in memory().
  [[nodiscard]] const std::shared_ptr<SegmentFile>& file() const { return file_; }
  [[nodiscard]] const std::string& memory() const { return memory_; }
  [[nodiscard]] std::string take_memory() { return std::move(memory_); }
  [[nodiscard]] std::uint32_t crc() const { return crc_; }
  // The database refers to the file now: it stays.
  void keep() { kept_ = true; }

 private:
  Failure spill();
  Failure fail(int code);

  const std::shared_ptr<SegmentDirectory> segments_;
  const std::shared_ptr<Pressure> pressure_;
  const std::uint64_t memory_max_;
  std::string memory_;  // all of it, or with an own file what is not in it yet
  Charge charge_;
  std::shared_ptr<SegmentFile> file_;
  std::uint64_t written_ = 0;  // octets in the own file
  std::uint64_t hinted_ = 0;   // of them told to the kernel to write back
  std::uint32_t crc_ = 0;
  Failure failure_ = Failure::kNone;
  bool kept_ = false;
};

// Checks the checksum as a first reading from start to end passes by: the read that would complete
// it fails where the bytes are not those that came in.
class StoredReader final : public ContentReader {
 public:
  StoredReader(std::shared_ptr<SegmentFile> file, const BodyRef& body)
      : file_(std::move(file)), body_(body) {}

  [[nodiscard]] std::uint64_t prefix_size() const override { return body_.prefix_size; }
  [[nodiscard]] std::uint64_t size() const override { return body_.size(); }
  base::Result<std::size_t> read(std::uint64_t offset, std::span<char> into) const override;

 private:
  bool check(std::uint64_t offset, std::string_view bytes) const;

  const std::shared_ptr<SegmentFile> file_;
  const BodyRef body_;
  mutable std::mutex mutex_;
  mutable std::uint64_t checked_ = 0;  // octets from the start that crc_ covers
  mutable std::uint32_t crc_ = 0;
};

// The same from memory, of a message that came in just now.
class RecentReader final : public ContentReader {
 public:
  explicit RecentReader(std::shared_ptr<const RecentMessages::Entry> entry)
      : entry_(std::move(entry)) {}

  [[nodiscard]] std::uint64_t prefix_size() const override { return entry_->prefix.size(); }
  [[nodiscard]] std::uint64_t size() const override {
    return entry_->prefix.size() + entry_->content.size();
  }
  base::Result<std::size_t> read(std::uint64_t offset, std::span<char> into) const override;

 private:
  const std::shared_ptr<const RecentMessages::Entry> entry_;
};

}  // namespace queue
