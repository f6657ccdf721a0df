// Messages that relayctl writes out: ID.eml (the octets) and ID.json (what is known of it).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace relayctl {

// The two files of one message, in a directory that is there. Never overwrites: throws Failure
// where one exists, and on any error of the disk. What is not finished is removed.
class MessageFiles {
 public:
  MessageFiles(const std::string& directory, const std::string& id);
  ~MessageFiles();
  MessageFiles(const MessageFiles&) = delete;
  MessageFiles& operator=(const MessageFiles&) = delete;

  void append(std::string_view octets);  // to ID.eml
  void finish(const nlohmann::json& known);

 private:
  std::string eml_, json_;
  int fd_ = -1;
  bool finished_ = false;
};

// Makes it where it is missing; throws Failure.
void make_directory(const std::string& path);

}  // namespace relayctl
