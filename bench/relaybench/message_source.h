// Where `send` has its messages from: made in the sizes asked for, or a folder of .eml files. One
// thread; memory is the largest size, or the folder.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/mail/envelope.h"

namespace relaybench {

struct SizeShare {
  std::uint64_t octets;
  std::uint64_t weight;
};
// "4KiB", or a mix "4KiB:80,64KiB:15,1MiB:5" (size and weight).
base::Result<std::vector<SizeShare>> parse_sizes(std::string_view text);

struct OutgoingMessage {
  std::string id;
  mail::Envelope envelope;
  std::vector<mail::Recipient> recipients;
  std::string header;     // with the blank line
  std::string_view body;  // of the source
  std::string tail;       // what fills the size up
  [[nodiscard]] std::uint64_t size() const { return header.size() + body.size() + tail.size(); }
};

class MessageSource {
 public:
  struct Options {
    std::vector<std::string> from, rcpt;  // used in turn
    std::vector<SizeShare> sizes;
    std::string folder;  // "" for none; else `sizes` has no effect
  };
  // Errors: a folder that cannot be read, has no .eml file, or is larger than 1 GiB.
  static base::Result<MessageSource> open(Options options);

  // The next message; `into` may be one that was given before.
  void next(OutgoingMessage& into);

 private:
  struct Stored {
    std::string header, body;
    std::uint64_t digest;
    bool eight_bit;
  };
  explicit MessageSource(Options options);
  base::Status load_folder();
  void generate(OutgoingMessage& into, const std::string& from, const std::string& rcpt);

  Options options_;
  std::string run_;  // the same in every id of the run
  std::uint64_t number_ = 0;
  std::minstd_rand random_;
  std::uint64_t weights_ = 0;
  std::string text_;                               // lines, as many octets as the largest size
  std::map<std::uint64_t, std::uint64_t> digest_;  // by length of the body; bounded
  std::vector<Stored> stored_;
  std::int64_t date_s_ = 0;
  std::string date_;
};

}  // namespace relaybench
