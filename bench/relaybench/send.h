// relaybench send: load towards an SMTP server.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "core/smtp/client_machine.h"

namespace relaybench {

struct SendOptions {
  std::string to;  // HOST:PORT
  smtp::ClientTls tls = smtp::ClientTls::kNone;
  std::string ca;
  bool insecure = false;
  std::string username, password_file;
  std::string helo = "relaybench.invalid";
  bool bdat = false;
  std::uint64_t sessions = 10;
  std::uint64_t messages = 0;                 // 0: no bound
  double seconds = 0;                         // 0: no bound
  std::uint64_t messages_per_connection = 0;  // 0: no bound
  double rate = 0;                            // messages a second; 0: as fast as it goes
  std::string sizes = "4KiB";
  std::string folder;
  std::vector<std::string> from, rcpt;
  std::int64_t timeout_ms = 60 * base::kSecond;   // without a word of the server
  std::int64_t patience_ms = 10 * base::kSecond;  // without a connection
  std::string ids;                                // file; "" for none
  std::string plot;                               // file; "" for none
  bool json = false;
  bool quiet = false;
};

// Runs to its end or to SIGINT or SIGTERM. The exit code: 0, or 1 where nothing was accepted or a
// file could not be written. Throws std::runtime_error with a line for the user.
int run_send(const SendOptions& options);

}  // namespace relaybench
