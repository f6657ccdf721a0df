// Segment files: where the bytes of messages lie, in `segments/` of the queue's directory, named by
// their number in 16 hexadecimal digits. A shared segment takes small messages one behind the other
// and is written by the committer only; an own segment holds one large message and is written by
// its session until it is submitted. Bytes are never changed while a message refers to them. What a
// segment holds is known by the database alone; the file has a header that says whose it is, and
// then bytes.
//
// A shared segment that is empty is kept as a spare, `spare-` and a number, and becomes the next
// one: a sync of blocks that are there already costs half of one of a file that grows
// (docs/decisions/0032-spare-segments.md).
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/result.h"
#include "queue/store.h"

namespace queue {

inline constexpr std::uint64_t kSegmentHeader = 64;
enum class SegmentKind : std::uint8_t { kShared = 1, kOwn = 2 };

// Too many files are open: nothing is wrong with the disk, and it passes.
bool is_no_descriptor(int code);

// An open file; closed with its last user. All calls give 0 or an errno. Thread-safe for reading.
class SegmentFile {
 public:
  SegmentFile(int fd, std::uint64_t number, SegmentKind kind,
              std::shared_ptr<const FaultHook> fault)
      : fd_(fd), number_(number), kind_(kind), fault_(std::move(fault)) {}
  ~SegmentFile();
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] SegmentKind kind() const { return kind_; }

  // Everything or an error; `pieces` is used up.
  int write(std::uint64_t offset, std::vector<iovec> pieces);
  int write(std::uint64_t offset, std::string_view bytes);
  // Fills as much of `into` as the file has from `offset` on.
  int read(std::uint64_t offset, std::span<char> into, std::size_t& got) const;
  int sync();  // fdatasync
  void start_writeback(std::uint64_t offset,
                       std::uint64_t octets);  // so that sync() has less to do
  int cut(std::uint64_t size);
  [[nodiscard]] std::uint64_t size() const;

 private:
  const int fd_;
  const std::uint64_t number_;
  const SegmentKind kind_;
  const std::shared_ptr<const FaultHook> fault_;
};

// Thread-safe.
class SegmentDirectory {
 public:
  // Makes the directory where it is missing.
  static base::Result<std::shared_ptr<SegmentDirectory>> open(const std::string& path,
                                                              const std::string& uuid,
                                                              FaultHook fault);
  ~SegmentDirectory();

  // A file with its header, numbered past all there are; null with `code` set on error. A shared
  // one may be a spare, which has old bytes behind its header.
  std::shared_ptr<SegmentFile> create(SegmentKind kind, int& code);
  // For reading (and cutting); a bounded number of them is kept open. Error: missing, not ours.
  base::Result<std::shared_ptr<SegmentFile>> find(std::uint64_t number);
  // Whoever has it open goes on reading. A failure is logged; the next start removes it.
  void remove(std::uint64_t number);
  // Of a segment nobody refers to any more: a spare where it may be one and nobody has it open, and
  // else removed.
  void retire(std::uint64_t number);
  // In octets; 0 where there is none.
  [[nodiscard]] std::uint64_t file_size(std::uint64_t number) const;
  // fsync of the directory where files were created since the last time. 0 or an errno.
  int sync_names();
  // Is there room on disk for `octets` and the reserve that is left for the database? Spares go
  // where there is not.
  [[nodiscard]] bool has_room(std::uint64_t octets);
  // The same with half a reserve more: so that "full" does not come and go with every message.
  [[nodiscard]] bool has_ample_room();
  // Is there next to nothing left, so that any write may fail for that?
  [[nodiscard]] bool is_out_of_room() const;

  [[nodiscard]] base::Result<std::vector<std::uint64_t>> list() const;
  // Numbers up to here are taken.
  void reserve_numbers(std::uint64_t up_to);

 private:
  struct Room {
    std::uint64_t free = 0;
    std::uint64_t reserve = 0;
  };
  [[nodiscard]] Room room() const;
  // openat() that closes what nobody uses where too many files are open. -1 with errno.
  int open_file(const std::string& name, int flags);
  bool forget_oldest();
  std::shared_ptr<SegmentFile> known(std::uint64_t number);
  void keep_open(const std::shared_ptr<SegmentFile>& file);
  void forget(std::uint64_t number);
  int take_spare(const std::string& name);
  bool make_spare(std::uint64_t number);
  bool remove_spares();
  SegmentDirectory(int fd, std::string path, std::string uuid, FaultHook fault);

  const int fd_;
  const std::string path_, uuid_;
  const std::shared_ptr<const FaultHook> fault_;
  std::atomic<std::uint64_t> last_number_{0};
  std::mutex names_mutex_;
  std::atomic<bool> created_{false};

  std::mutex mutex_;
  using Recent = std::list<std::shared_ptr<SegmentFile>>;  // most recently used first
  Recent recent_;
  std::unordered_map<std::uint64_t, Recent::iterator> open_;
  // Those that somebody may have, whether they are kept open here or not.
  std::unordered_map<std::uint64_t, std::weak_ptr<SegmentFile>> handed_out_;
  std::size_t opening_ = 0;          // calls of find() that are between name and open_
  std::set<std::uint64_t> shared_;   // made since the start
  std::vector<std::string> spares_;  // names
};

}  // namespace queue
