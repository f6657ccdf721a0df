// Dialogue scripts: what a client says and what the server must say, readable by anyone. The format
// is described in tests/smtp/README.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/base/result.h"
#include "core/smtp/server_machine.h"
#include "smtp/fixed_owner.h"

namespace smtp_test {

struct DialogueStep {
  enum class Kind { kClient, kServer, kTls, kClosed, kDelivered, kEnvelope } kind;
  int line;          // of the script
  std::string text;  // kClient, kDelivered: the bytes; kServer: the pattern; kEnvelope: its words
};

struct Dialogue {
  std::string name;
  bool submission = false;
  enum class Tls { kNone, kOffered, kInside } tls = Tls::kNone;
  base::Limits limits;
  bool whole_only = false;    // `feed: whole`
  bool machine_only = false;  // `machine-only: reason`: cannot be run over a socket
  std::vector<DialogueStep> steps;
};

// Errors name the line.
base::Result<Dialogue> parse_dialogue(std::string_view name, std::string_view script);
// `\r \n \t \0 \xNN \\`, `\{3*text}` for text three times, `\base64{text}`.
base::Result<std::string> unescape(std::string_view text);
// `*` at the end of the pattern matches the rest of the line.
bool line_matches(std::string_view pattern, std::string_view line);

// How a client's turn is cut into reads.
struct Cut {
  enum class Kind { kWhole, kBytes, kRandom } kind = Kind::kWhole;
  std::uint32_t seed = 0;
};

struct DialogueRun {
  std::string error;  // the first thing that was not as the script has it; "" when all was
  std::string output;
  std::vector<std::string> trail;
  std::vector<Delivered> delivered;
};
DialogueRun run_dialogue(const Dialogue& dialogue, Cut cut);

}  // namespace smtp_test
