// A file of ids, one a line, for `relaybench check`. Buffered: complete after flush() or finish().
#pragma once

#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace relaybench {

class IdFile {
 public:
  // "" for none. Throws std::runtime_error where the file cannot be made.
  explicit IdFile(const std::string& path) : path_(path) {
    if (path.empty()) return;
    file_ = std::fopen(path.c_str(), "we");
    if (file_ == nullptr) throw std::runtime_error(complaint());
  }
  ~IdFile() {
    if (file_ != nullptr) std::fclose(file_);
  }
  IdFile(const IdFile&) = delete;
  IdFile& operator=(const IdFile&) = delete;

  [[nodiscard]] bool wanted() const { return file_ != nullptr; }
  // A line: the id, and a second word where there is one.
  void add(std::string_view id, std::string_view word = {}) {
    if (file_ == nullptr) return;
    std::fwrite(id.data(), 1, id.size(), file_);
    if (!word.empty()) std::fputc(' ', file_);
    std::fwrite(word.data(), 1, word.size(), file_);
    std::fputc('\n', file_);
  }
  void flush() {
    if (file_ != nullptr && std::fflush(file_) != 0) failure_ = errno;
  }
  // Flushes. Throws std::runtime_error where anything could not be written: a check against such a
  // file would report losses that are none.
  void finish() {
    flush();
    if (file_ != nullptr && (failure_ != 0 || std::ferror(file_) != 0)) {
      errno = failure_;
      throw std::runtime_error(complaint());
    }
  }

 private:
  [[nodiscard]] std::string complaint() const {
    return "cannot write " + path_ + ": " + std::generic_category().message(errno);
  }
  std::string path_;
  std::FILE* file_ = nullptr;
  int failure_ = 0;
};

}  // namespace relaybench
