#include "relayd/main/relayctl_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "relayd/main/relayctl_client.h"

namespace relayctl {
namespace {

int create(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) throw Failure("cannot make " + path + ": " + std::strerror(errno));
  return fd;
}

void write_all(int fd, const std::string& path, std::string_view octets) {
  while (!octets.empty()) {
    const ssize_t n = write(fd, octets.data(), octets.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Failure("cannot write " + path + ": " + std::strerror(errno));
    octets.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

MessageFiles::MessageFiles(const std::string& directory, const std::string& id)
    : eml_(directory + "/" + id + ".eml"),
      json_(directory + "/" + id + ".json"),
      fd_(create(eml_)) {}

MessageFiles::~MessageFiles() {
  if (fd_ >= 0) close(fd_);
  if (!finished_) unlink(eml_.c_str());
}

void MessageFiles::append(std::string_view octets) { write_all(fd_, eml_, octets); }

void MessageFiles::finish(const nlohmann::json& known) {
  if (close(std::exchange(fd_, -1)) != 0) {
    throw Failure("cannot write " + eml_ + ": " + std::strerror(errno));
  }
  const int fd = create(json_);
  try {
    write_all(fd, json_,
              known.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  } catch (const Failure&) {
    close(fd);
    unlink(json_.c_str());
    throw;
  }
  close(fd);
  finished_ = true;
}

void make_directory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return;
  throw Failure("cannot make the directory " + path + ": " + std::strerror(errno));
}

}  // namespace relayctl
