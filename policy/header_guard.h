// The header guard (product rule O6): what must survive from submission to the smarthost byte for
// byte is digested on entry and compared with what leaves. A difference is our bug (or the disk's):
// the message is held, never sent. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/mail/headers.h"

namespace policy {

// Auto-Submitted, X-Auto-Response-Suppress, X-Mailer, From, To, Cc, Reply-To, Subject, Date,
// Message-ID, In-Reply-To, References, the configured marker headers; in small letters, each once.
std::vector<std::string> protected_fields(const std::vector<std::string>& marker_headers);

// A digest over the body's octets (what follows the empty line), any splits.
class BodyDigest {
 public:
  BodyDigest();
  ~BodyDigest();
  BodyDigest(const BodyDigest&) = delete;
  BodyDigest& operator=(const BodyDigest&) = delete;
  void update(std::string_view bytes);
  std::string finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A compact record for the queue, at most 4 KiB: per protected name how often it stands there and
// one digest over its occurrences in their order (so an added field is found too), and the body's
// digest. `fields` are those of protected_fields().
std::string make_guard(const mail::Headers& headers, const std::vector<std::string>& fields,
                       std::string_view body_digest);

// Compares header fields of what is about to leave (without our prefix) with the record. The error
// names the field. `check_body` the same for the body, when all of it has passed.
base::Status check_headers(std::string_view guard, const mail::Headers& headers);
base::Status check_body(std::string_view guard, std::string_view body_digest);

}  // namespace policy
