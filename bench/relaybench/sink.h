// relaybench sink: an SMTP server that swallows, and misbehaves on command.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "relaybench/misbehaviour.h"

namespace relaybench {

enum class SinkTls : std::uint8_t { kNone, kStartTls, kImplicit };

struct SinkOptions {
  std::vector<std::string> listen;
  SinkTls tls = SinkTls::kNone;
  std::string certificate, key;
  std::string hostname = "sink.invalid";
  bool auth_required = false;
  std::uint64_t messages = 0;  // ends by itself after so many; 0: never
  std::string ids;
  std::vector<std::string> misbehave;
  std::string misbehave_file;  // more of them, read anew on SIGHUP
  bool json = false;
};

// The order of kSinkRules.
enum class SinkRule : std::uint8_t {
  kGreet421,
  kDropAtGreeting,
  kEhloGarbage,
  kNoStartTls,
  kTlsFails,
  kAuth535,
  kAuth454,
  kMail4xx,
  kRcpt4xx,
  kRcpt5xx,
  kRcptMixed,
  kData354Never,
  kDropInData,
  kDropAfterDot,
  kDot4xx,
  kDot5xx,
  kDot421,
  kSilentAt,
  kMalformedMultiline,
  kLongReply,
  kSlow,
  kOneConnectionOnly,
};
extern const std::array<MisbehaviourRule, 22> kSinkRules;

// Runs until SIGINT, SIGTERM or the number of messages; SIGUSR1 prints the counts. Throws
// std::runtime_error with a line for the user.
int run_sink(const SinkOptions& options);

}  // namespace relaybench
