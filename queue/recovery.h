// What happens when the queue is opened: files and database are brought together.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/result.h"
#include "queue/environment.h"
#include "queue/segment.h"

namespace queue {

// What found no room in the database at a start. The queue opens all the same: that is how it gets
// emptied.
struct Unfinished {
  std::shared_ptr<SegmentFile> file;  // null: nothing
  std::uint64_t end = 0;              // of the journal in it
  std::unique_ptr<Draft> draft;       // the changes in the journal
  // Up to this number nobody knows what segments hold: their files stay until a start that has room
  // to count. 0: all is counted.
  std::uint64_t uncounted = 0;
};

// Brings into the database what is in the journal; counts anew what every segment holds (the
// messages are the truth), removes segment files that nothing refers to, cuts shared ones behind
// the last octet in use, and holds messages whose bytes are not all there. Errors: the database or
// the directory cannot be read.
base::Result<Unfinished> recover(const Environment& environment, SegmentDirectory& segments);

// A local file system that LMDB and flock can trust? The error names it.
base::Status check_file_system(const std::string& directory);

// The lock on a queue's directory: one process at a time. Released by its destructor.
class DirectoryLock {
 public:
  static base::Result<DirectoryLock> take(const std::string& directory);
  DirectoryLock(DirectoryLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  DirectoryLock& operator=(DirectoryLock&& other) = delete;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace queue
