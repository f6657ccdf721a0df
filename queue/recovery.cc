#include "queue/recovery.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <vector>

#include "core/base/log.h"
#include "queue/journal.h"
#include "queue/tables.h"

namespace queue {
namespace {

struct Found {
  SegmentUse use;
  std::uint64_t end = 0;  // behind the last octet a message refers to
};

struct Survey {
  std::map<std::uint64_t, Found> segments;
  std::vector<base::Id> damaged;  // records that cannot be read
};

base::Error unreadable(int code) {
  return base::error(std::string("the queue's database cannot be read: ") + mdb_strerror(code));
}

std::uint64_t end_of(const BodyRef& body) {
  return std::max(body.prefix_offset + body.prefix_size, body.content_offset + body.content_size);
}

Survey survey(const Txn& txn) {
  Survey found;
  std::size_t records = 0;
  Cursor cursor(txn, Table::kMessage);
  for (bool more = cursor.seek({}); more; more = cursor.next()) {
    const auto id = base::Id::from_key(cursor.key());
    if (!id) continue;
    if (++records % Environment::kRecordsOfPages == 0) txn.environment().let_go_of_pages();
    const auto message = glance_at_message(cursor.value());
    if (!message) {
      found.damaged.push_back(*id);
      continue;
    }
    const BodyRef& body = message->body;
    Found& segment = found.segments[body.segment];
    segment.use.messages += 1;
    segment.use.octets += static_cast<std::int64_t>(body.size());
    segment.end = std::max(segment.end, end_of(body));
  }
  return found;
}

// Messages in `damaged_segments` whose bytes end behind what the file has (0: nothing of it).
void find_short(const Txn& txn, const std::map<std::uint64_t, std::uint64_t>& damaged_segments,
                std::vector<base::Id>& damaged) {
  Cursor cursor(txn, Table::kMessage);
  for (bool more = cursor.seek({}); more; more = cursor.next()) {
    const auto id = base::Id::from_key(cursor.key());
    const auto body = decode_body(cursor.value());
    if (!id || !body) continue;
    const auto segment = damaged_segments.find(body->segment);
    if (segment != damaged_segments.end() && end_of(*body) > segment->second) {
      damaged.push_back(*id);
    }
  }
}

void remove_unused(SegmentDirectory& segments, const std::vector<std::uint64_t>& files,
                   const Survey& found) {
  // A message that cannot be read may be in any of them.
  if (!found.damaged.empty()) return;
  for (const std::uint64_t number : files) {
    const auto used = found.segments.find(number);
    if (used == found.segments.end()) {
      segments.remove(number);
      base::log_info("queue removed an unused segment", {{"segment", number}});
      continue;
    }
    const auto file = segments.find(number);
    if (!file || (*file)->kind() != SegmentKind::kShared) continue;
    if ((*file)->size() <= used->second.end) continue;
    if (const int code = (*file)->cut(used->second.end)) {
      base::log_warning("queue cannot cut a segment",
                        {{"segment", number}, {"reason", std::strerror(code)}});
    }
  }
}

int write(const Environment& environment, const Draft& draft) {
  Txn txn(environment, Txn::Mode::kWrite);
  txn.write(draft);
  return txn.commit();
}

base::Result<Unfinished> replay(const Environment& environment, SegmentDirectory& segments) {
  Txn txn(environment, Txn::Mode::kRead);
  auto place = journal_place(txn);
  if (txn.error() != 0) return unreadable(txn.error());
  if (!place) return Unfinished{};
  // Never given out again, even where its file is gone: a spare has old frames, which are valid for
  // the number they were written under.
  segments.reserve_numbers(place->segment);
  Unfinished unfinished;
  unfinished.draft = std::make_unique<Draft>();
  const auto octets = read_journal(segments, environment.uuid(), *place, *unfinished.draft);
  if (!octets) return octets.error();
  if (*octets == 0) return Unfinished{};
  txn.lay_over(nullptr, unfinished.draft.get());
  put_journal_place(txn, *place);
  const int code = write(environment, *unfinished.draft);
  if (code == 0) {
    base::log_info("queue has taken up its journal", {{"octets", *octets}});
    return Unfinished{};
  }
  if (!is_no_room(code)) return unreadable(code);
  auto file = segments.find(place->segment);
  if (!file) return file.error();
  unfinished.file = file.take();
  unfinished.end = place->offset;
  return unfinished;
}

}  // namespace

base::Result<Unfinished> recover(const Environment& environment, SegmentDirectory& segments) {
  const auto files = segments.list();
  if (!files) return files.error();
  if (!files->empty()) segments.reserve_numbers(files->back());

  // Until the database says what is in use nothing may be removed.
  const std::uint64_t newest = files->empty() ? 0 : files->back();
  auto replayed = replay(environment, segments);
  if (!replayed) return replayed;
  if (replayed->file) {
    replayed->uncounted = newest;
    return replayed;
  }
  Draft draft;
  Txn txn(environment, Txn::Mode::kRead);
  Survey found = survey(txn);
  // What was not read may have its bytes in any segment.
  if (txn.error() != 0) return unreadable(txn.error());
  remove_unused(segments, *files, found);
  std::map<std::uint64_t, std::uint64_t> damaged_segments;
  for (const auto& [number, segment] : found.segments) {
    // A number in use is never given out again, even where its file is gone.
    segments.reserve_numbers(number);
    const auto file = segments.find(number);
    if (!file) base::log_error("queue segment cannot be read", {{"reason", file.message()}});
    const std::uint64_t size = file ? (*file)->size() : 0;
    if (size < segment.end) damaged_segments[number] = size;
  }
  if (!damaged_segments.empty()) find_short(txn, damaged_segments, found.damaged);

  txn.lay_over(nullptr, &draft);
  Changes ignored;
  for (const base::Id& id : found.damaged) {
    const auto record = txn.get(Table::kMessage, id.key());
    const bool readable = record && decode_message(id, *record);
    const std::string why =
        readable || !record ? "its bytes on disk are not whole" : why_unreadable(*record);
    base::log_error("queue holds a damaged message", {{"id", id.str()}, {"reason", why}});
    const std::string reason = "damaged: " + why + "; restore it or remove it";
    if (txn.error() == 0) obey(txn, {Order::kHold, id, std::nullopt, reason}, 0, ignored);
  }
  // The counts anew: the journal does not have them.
  std::vector<std::string> stale;
  {
    Cursor cursor(txn, Table::kSegment);
    for (bool more = cursor.seek({}); more; more = cursor.next()) {
      const auto number = parse_segment_key(cursor.key());
      if (!number || !found.segments.contains(*number)) stale.emplace_back(cursor.key());
    }
  }
  for (const std::string& key : stale) txn.remove(Table::kSegment, key);
  for (const auto& [number, segment] : found.segments) {
    const std::string value = encode_segment(segment.use);
    if (txn.get(Table::kSegment, segment_key(number)) != value) {
      txn.put(Table::kSegment, segment_key(number), value);
    }
  }
  if (txn.error() != 0) return unreadable(txn.error());
  const int code = draft.empty() ? 0 : write(environment, draft);
  // Without room the queue opens as it is: that is how it gets emptied.
  if (code != 0 && !is_no_room(code)) return unreadable(code);
  Unfinished unfinished;
  if (code != 0) unfinished.uncounted = newest;
  return unfinished;
}

base::Status check_file_system(const std::string& directory) {
  struct statfs status {};
  if (statfs(directory.c_str(), &status) != 0) {
    return base::error("cannot look at " + directory + ": " + std::strerror(errno));
  }
  struct Name {
    std::uint32_t magic;
    const char* name;
  };
  // linux/magic.h and the headers of the file systems; not all are in this header of Debian's.
  constexpr Name kRemote[] = {{0x6969, "NFS"},      {0x517b, "SMB"},     {0xff534d42, "CIFS"},
                              {0xfe534d42, "SMB2"}, {0x5346414f, "AFS"}, {0x73757245, "Coda"},
                              {0x01021997, "9P"},   {0x00c36400, "Ceph"}};
  const auto magic = static_cast<std::uint32_t>(status.f_type);
  for (const Name& remote : kRemote) {
    if (magic == remote.magic) {
      return base::error(directory + " is on a network file system (" + remote.name +
                         "), where locks and memory maps cannot be trusted; put state_dir on a "
                         "local disk");
    }
  }
  constexpr std::uint32_t kFuse = 0x65735546;
  if (magic == kFuse) {
    base::log_warning(
        "the queue is on a FUSE file system; if that is a network one, mail can be "
        "lost: put state_dir on a local disk",
        {{"directory", directory}});
  }
  return base::Ok{};
}

base::Result<DirectoryLock> DirectoryLock::take(const std::string& directory) {
  const std::string path = directory + "/lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return base::error("cannot open " + path + ": " + std::strerror(errno));
  DirectoryLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return base::error("cannot lock " + path + ": " + std::strerror(errno));
    }
    char pid[16] = {};
    const ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    const std::string_view digits(pid, n > 0 ? static_cast<std::size_t>(n) : 0);
    const std::string who(digits.substr(0, digits.find_first_not_of("0123456789")));
    return base::error("another relayd" + (who.empty() ? "" : " (process " + who + ")") +
                       " is using " + directory +
                       "; stop it first, or give this one a state_dir "
                       "of its own");
  }
  // Written in place, always as long: a full disk must not keep a queue from being opened.
  std::string pid = std::to_string(getpid());
  pid.resize(15, '\n');
  if (pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    return base::error("cannot write " + path + ": " + std::strerror(errno));
  }
  return lock;
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace queue
