// DKIM verification (RFC 6376, 8301, 8463) by libopendkim, fed as the message passes. Keys are
// asked for at the end of the header and given before the end of the message, so no thread waits
// for DNS.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/base/result.h"
#include "core/dns/answers.h"
#include "core/mail/headers.h"

namespace dkim {

enum class Result { kNone, kPass, kFail, kPolicy, kNeutral, kTempError, kPermError };
std::string_view name(Result result);  // RFC 8601 2.7.1

struct SignatureVerdict {
  std::string domain;           // d=
  std::string selector;         // s=
  std::string identity;         // i=, or "@" + d=
  std::string algorithm;        // "rsa-sha256", "ed25519-sha256", or what a= said
  std::string signature_start;  // first 8 characters of b= (RFC 6008), to tell signatures apart
  Result result = Result::kNone;
  std::string reason;  // a few words for people
};

// The library handle: made once before threads start, shared by all verifiers (libopendkim's
// DKIM_LIB is read-only after set-up). Error where the library lacks a feature we need.
class Library {
 public:
  static base::Result<std::shared_ptr<Library>> open();
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

 private:
  Library();
  friend class Verifier;
  struct State;
  std::unique_ptr<State> state_;
};

// One message, one thread at a time.
class Verifier {
 public:
  Verifier(std::shared_ptr<Library> library, const base::Limits& limits);
  ~Verifier();
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  // The whole header section; its bytes need not outlive the call. Gives the keys to ask for (TXT).
  std::vector<dns::Question> headers(const mail::Headers& headers);
  // Does it need the body at all (is there a signature)?
  [[nodiscard]] bool wants_body() const;
  // Body bytes as they come, any splits. Keys may arrive meanwhile.
  void body(std::string_view bytes);
  // `answers` must hold every question of headers(). One verdict a signature, in header order;
  // empty where there is none.
  std::vector<SignatureVerdict> finish(const dns::Answers& answers);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dkim
