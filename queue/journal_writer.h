// The end of the journal, where frames are appended: one shared segment after the other. The
// committer's thread only (queue/journal.h says what a frame is).
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "queue/journal.h"
#include "queue/segment.h"

namespace queue {

class JournalWriter {
 public:
  // The bodies of a frame that is not written yet, and what is to be synced before it.
  struct Frame {
    std::vector<iovec> bodies;
    std::uint64_t bodies_size = 0;
    std::uint32_t bodies_crc = 0;
    std::vector<std::shared_ptr<SegmentFile>> own;  // segments of single messages

    [[nodiscard]] bool empty() const { return bodies.empty() && own.empty(); }
    void add(std::string_view bytes) {
      if (!bytes.empty()) bodies.push_back({const_cast<char*>(bytes.data()), bytes.size()});
      bodies_size += bytes.size();
    }
  };

  JournalWriter(SegmentDirectory& segments, std::string_view uuid)
      : segments_(segments), uuid_(uuid) {}

  // The segment that is written to; nullopt while there is none.
  [[nodiscard]] std::optional<std::uint64_t> number() const;
  [[nodiscard]] std::uint64_t end() const { return end_; }
  // Where the first octet of a frame's bodies will be.
  [[nodiscard]] std::uint64_t bodies_begin() const { return end_ + kFrameHead; }
  // A sync of it has failed for want of room: nothing is written to it any more.
  [[nodiscard]] bool is_doubtful() const { return is_doubtful_; }

  // Goes on in `file` at `end`.
  void take_up(std::shared_ptr<SegmentFile> file, std::uint64_t end);
  // Another segment, whose header and name are on disk. Null with `code` set on error. Any thread.
  static std::shared_ptr<SegmentFile> prepare(SegmentDirectory& segments, int& code);
  // The frame that says so was the last one in the segment so far.
  void go_on_in(std::shared_ptr<SegmentFile> file);
  // Goes on in the file without such a frame; gives what was before, for go_back(), where the
  // database did not take note of it.
  struct Before {
    std::shared_ptr<SegmentFile> file;
    std::uint64_t end = 0;
    bool is_doubtful = false;
  };
  Before go_on(std::shared_ptr<SegmentFile> file);
  void go_back(Before before);
  void leave();  // the next frame needs a new segment

  // Appends the frame and syncs it. 0 or an errno: then nothing of it will be found.
  int append(Frame& frame, std::string_view log);

 private:
  SegmentDirectory& segments_;
  const std::string uuid_;
  std::shared_ptr<SegmentFile> file_;  // null until needed
  std::uint64_t end_ = 0;
  bool is_doubtful_ = false;
};

}  // namespace queue
