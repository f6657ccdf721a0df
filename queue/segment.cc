#include "queue/segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "core/base/limits.h"
#include "core/base/log.h"

namespace queue {
namespace {

constexpr std::string_view kMagic = "relaydQ\n";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kOpenMax = 64;
constexpr std::uint64_t kReserveOctets = 16 * base::kMiB;
constexpr std::uint64_t kOutOfRoomOctets = base::kMiB;
// One is written to while the other is emptied.
constexpr std::size_t kSparesMax = 2;
constexpr std::string_view kSparePrefix = "spare-";

std::string file_name(std::uint64_t number) {
  char name[17];
  std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(number));
  return name;
}

std::optional<std::uint64_t> parse_file_name(std::string_view name) {
  if (name.size() != 16) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : name) {
    const auto digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    number = number << 4 | digit;
  }
  return number;
}

base::Result<std::vector<std::string>> names_in(const std::string& path) {
  const auto failed = [&] {
    return base::error("cannot list the directory " + path + ": " + std::strerror(errno));
  };
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return failed();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(directory)) {
    names.emplace_back(entry->d_name);
    errno = 0;
  }
  const int code = errno;
  closedir(directory);
  errno = code;
  if (code != 0) return failed();
  return names;
}

constexpr std::size_t kKindAt = 9;
// magic 8, version 1, kind 1, zero 6, uuid 16, number 16 hexadecimal digits, zeros up to 64.
std::string make_header(SegmentKind kind, const std::string& uuid, std::uint64_t number) {
  std::string header(kMagic);
  header.push_back(static_cast<char>(kVersion));
  header.push_back(static_cast<char>(kind));
  header.resize(16, '\0');
  header += uuid;
  header += file_name(number);
  header.resize(kSegmentHeader, '\0');
  return header;
}

}  // namespace

bool is_no_descriptor(int code) { return code == EMFILE || code == ENFILE; }

SegmentFile::~SegmentFile() { close(fd_); }

int SegmentFile::write(std::uint64_t offset, std::vector<iovec> pieces) {
  if (*fault_) {
    if (const int code = (*fault_)(FileCall::kWrite)) return code;
  }
  std::size_t first = 0;
  while (first < pieces.size()) {
    const auto count = static_cast<int>(std::min<std::size_t>(pieces.size() - first, IOV_MAX));
    const ssize_t n = pwritev(fd_, pieces.data() + first, count, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    offset += static_cast<std::uint64_t>(n);
    auto left = static_cast<std::size_t>(n);
    while (first < pieces.size() && left >= pieces[first].iov_len) left -= pieces[first++].iov_len;
    if (left > 0) {
      pieces[first].iov_base = static_cast<char*>(pieces[first].iov_base) + left;
      pieces[first].iov_len -= left;
    } else if (n == 0 && first < pieces.size()) {
      return EIO;  // the kernel takes nothing and says no reason
    }
  }
  return 0;
}

int SegmentFile::write(std::uint64_t offset, std::string_view bytes) {
  return write(offset, {iovec{const_cast<char*>(bytes.data()), bytes.size()}});
}

int SegmentFile::read(std::uint64_t offset, std::span<char> into, std::size_t& got) const {
  got = 0;
  while (got < into.size()) {
    const ssize_t n =
        pread(fd_, into.data() + got, into.size() - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return 0;
}

int SegmentFile::sync() {
  if (*fault_) {
    if (const int code = (*fault_)(FileCall::kSync)) return code;
  }
  return fdatasync(fd_) == 0 ? 0 : errno;
}

void SegmentFile::start_writeback(std::uint64_t offset, std::uint64_t octets) {
  // Only a hint: errors show in sync().
  (void)sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(octets),
                        SYNC_FILE_RANGE_WRITE);
}

int SegmentFile::cut(std::uint64_t size) {
  if (*fault_) {
    if (const int code = (*fault_)(FileCall::kCut)) return code;
  }
  return ftruncate(fd_, static_cast<off_t>(size)) == 0 ? 0 : errno;
}

std::uint64_t SegmentFile::size() const {
  struct stat status {};
  return fstat(fd_, &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

SegmentDirectory::SegmentDirectory(int fd, std::string path, std::string uuid, FaultHook fault)
    : fd_(fd),
      path_(std::move(path)),
      uuid_(std::move(uuid)),
      fault_(std::make_shared<const FaultHook>(std::move(fault))) {}

SegmentDirectory::~SegmentDirectory() { close(fd_); }

base::Result<std::shared_ptr<SegmentDirectory>> SegmentDirectory::open(const std::string& path,
                                                                       const std::string& uuid,
                                                                       FaultHook fault) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return base::error("cannot make the directory " + path + ": " + std::strerror(errno));
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return base::error("cannot open the directory " + path + ": " + std::strerror(errno));
  const std::shared_ptr<SegmentDirectory> made(
      new SegmentDirectory(fd, path, uuid, std::move(fault)));
  auto names = names_in(path);
  if (!names) return names.error();
  for (std::string& name : *names) {
    if (name.starts_with(kSparePrefix)) made->spares_.push_back(std::move(name));
  }
  return made;
}

std::shared_ptr<SegmentFile> SegmentDirectory::create(SegmentKind kind, int& code) {
  const std::uint64_t number = last_number_.fetch_add(1) + 1;
  const std::string name = file_name(number);
  code = *fault_ ? (*fault_)(FileCall::kCreate) : 0;
  if (code != 0) return nullptr;
  int fd = kind == SegmentKind::kShared ? take_spare(name) : -1;
  if (fd >= 0) {
    // Before the new header: under none of its former names may it be found with that one.
    created_.store(true);
    code = sync_names();
    if (code != 0) {
      close(fd);
      unlinkat(fd_, name.c_str(), 0);
      return nullptr;
    }
  }
  if (fd < 0) fd = open_file(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC);
  code = fd < 0 ? errno : 0;
  if (code != 0) return nullptr;
  auto file = std::make_shared<SegmentFile>(fd, number, kind, fault_);
  code = file->write(0, make_header(kind, uuid_, number));
  if (code != 0) {
    unlinkat(fd_, name.c_str(), 0);
    return nullptr;
  }
  created_.store(true);
  if (kind == SegmentKind::kShared) {
    const std::lock_guard lock(mutex_);
    shared_.insert(number);
  }
  return file;
}

// -1: there is none, or it cannot be had.
int SegmentDirectory::take_spare(const std::string& name) {
  std::string spare;
  {
    const std::lock_guard lock(mutex_);
    if (spares_.empty()) return -1;
    spare = std::move(spares_.back());
    spares_.pop_back();
  }
  const int code = *fault_ ? (*fault_)(FileCall::kRename) : 0;
  if (code == 0 && renameat(fd_, spare.c_str(), fd_, name.c_str()) == 0) {
    const int fd = open_file(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) return fd;
    unlinkat(fd_, name.c_str(), 0);
    return -1;
  }
  unlinkat(fd_, spare.c_str(), 0);
  return -1;
}

base::Result<std::shared_ptr<SegmentFile>> SegmentDirectory::find(std::uint64_t number) {
  const std::string name = file_name(number);
  const auto failed = [&](const std::string& why) {
    return base::error("segment file " + path_ + "/" + name + ": " + why);
  };
  {
    const std::lock_guard lock(mutex_);
    if (auto file = known(number)) return file;
    ++opening_;
  }
  const int fd = open_file(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    const int code = errno;
    const std::lock_guard lock(mutex_);
    --opening_;
    return failed(std::strerror(code));
  }
  char header[kSegmentHeader] = {};
  const bool whole = pread(fd, header, sizeof header, 0) == static_cast<ssize_t>(sizeof header);
  const bool own = header[kKindAt] == static_cast<char>(SegmentKind::kOwn);
  const SegmentKind kind = own ? SegmentKind::kOwn : SegmentKind::kShared;
  auto file = std::make_shared<SegmentFile>(fd, number, kind, fault_);
  const std::lock_guard lock(mutex_);
  --opening_;
  if (!whole || std::string_view(header, sizeof header) != make_header(kind, uuid_, number)) {
    return failed("its header is damaged, or it belongs to another queue");
  }
  // Unlinked since it was opened: whoever asked may read it, but it is not kept open.
  if (struct stat status{}; fstat(fd, &status) != 0 || status.st_nlink == 0) return file;
  if (auto other = known(number)) return other;
  handed_out_[number] = file;
  keep_open(file);
  return file;
}

// Under mutex_, as the two below. Null where nobody has it open.
std::shared_ptr<SegmentFile> SegmentDirectory::known(std::uint64_t number) {
  if (const auto kept = open_.find(number); kept != open_.end()) {
    recent_.splice(recent_.begin(), recent_, kept->second);
    return recent_.front();
  }
  const auto handed = handed_out_.find(number);
  auto file = handed == handed_out_.end() ? nullptr : handed->second.lock();
  if (file) keep_open(file);
  return file;
}

void SegmentDirectory::keep_open(const std::shared_ptr<SegmentFile>& file) {
  recent_.push_front(file);
  open_[file->number()] = recent_.begin();
  if (recent_.size() > kOpenMax) {
    open_.erase(recent_.back()->number());
    recent_.pop_back();
  }
}

void SegmentDirectory::forget(std::uint64_t number) {
  const auto kept = open_.find(number);
  if (kept == open_.end()) return;
  recent_.erase(kept->second);
  open_.erase(kept);
}

int SegmentDirectory::open_file(const std::string& name, int flags) {
  for (;;) {
    const int fd = openat(fd_, name.c_str(), flags, 0600);
    const int code = errno;
    if (fd >= 0 || !is_no_descriptor(code) || !forget_oldest()) {
      errno = code;
      return fd;
    }
  }
}

bool SegmentDirectory::forget_oldest() {
  const std::lock_guard lock(mutex_);
  if (recent_.empty()) return false;
  open_.erase(recent_.back()->number());
  recent_.pop_back();
  return true;
}

void SegmentDirectory::remove(std::uint64_t number) {
  int code = *fault_ ? (*fault_)(FileCall::kRemove) : 0;
  if (code == 0 && unlinkat(fd_, file_name(number).c_str(), 0) != 0) code = errno;
  if (code != 0 && code != ENOENT) {
    base::log_warning("queue cannot remove a segment; the next start tries again",
                      {{"segment", number}, {"reason", std::strerror(code)}});
  }
  const std::lock_guard lock(mutex_);
  shared_.erase(number);
  forget(number);
  handed_out_.erase(number);
}

void SegmentDirectory::retire(std::uint64_t number) {
  if (!make_spare(number)) remove(number);
}

// Whoever still read it would read what is written over it: nobody may have it open, nor be about
// to. Under one lock with the name's going, so that nobody begins to.
bool SegmentDirectory::make_spare(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  if (!shared_.contains(number) || spares_.size() >= kSparesMax || opening_ > 0) return false;
  forget(number);
  if (const auto handed = handed_out_.find(number); handed != handed_out_.end()) {
    if (!handed->second.expired()) return false;
    handed_out_.erase(handed);
  }
  const std::string name = file_name(number);
  std::string spare = std::string(kSparePrefix) + name;
  const int code = *fault_ ? (*fault_)(FileCall::kRename) : 0;
  if (code != 0 || renameat(fd_, name.c_str(), fd_, spare.c_str()) != 0) return false;
  shared_.erase(number);
  spares_.push_back(std::move(spare));
  return true;
}

bool SegmentDirectory::remove_spares() {
  const std::lock_guard lock(mutex_);
  if (spares_.empty()) return false;
  for (const std::string& spare : spares_) unlinkat(fd_, spare.c_str(), 0);
  spares_.clear();
  return true;
}

std::uint64_t SegmentDirectory::file_size(std::uint64_t number) const {
  struct stat status {};
  const int code = fstatat(fd_, file_name(number).c_str(), &status, AT_SYMLINK_NOFOLLOW);
  return code == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

int SegmentDirectory::sync_names() {
  const std::lock_guard lock(names_mutex_);  // who comes second waits for the names of the first
  if (!created_.exchange(false)) return 0;
  int code = *fault_ ? (*fault_)(FileCall::kSync) : 0;
  if (code == 0 && fsync(fd_) != 0) code = errno;
  if (code != 0) created_.store(true);  // still owed, where the error is one that passes
  return code;
}

SegmentDirectory::Room SegmentDirectory::room() const {
  struct statvfs status {};
  if (fstatvfs(fd_, &status) != 0) return {UINT64_MAX / 2, 0};
  const std::uint64_t unit = status.f_frsize;
  return {status.f_bavail * unit,
          std::min<std::uint64_t>(kReserveOctets, status.f_blocks * unit / 8)};
}

bool SegmentDirectory::has_room(std::uint64_t octets) {
  const auto is_enough = [octets](const Room& now) { return now.free >= octets + now.reserve; };
  return is_enough(room()) || (remove_spares() && is_enough(room()));
}

bool SegmentDirectory::has_ample_room() { return has_room(room().reserve / 2); }

bool SegmentDirectory::is_out_of_room() const { return room().free < kOutOfRoomOctets; }

base::Result<std::vector<std::uint64_t>> SegmentDirectory::list() const {
  const auto names = names_in(path_);
  if (!names) return names.error();
  std::vector<std::uint64_t> numbers;
  for (const std::string& name : *names) {
    if (const auto number = parse_file_name(name)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

void SegmentDirectory::reserve_numbers(std::uint64_t up_to) {
  std::uint64_t seen = last_number_.load();
  while (seen < up_to && !last_number_.compare_exchange_weak(seen, up_to)) {
  }
}

}  // namespace queue
