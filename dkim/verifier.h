// DKIM verification (RFC 6376, 8301, 8463), fed as the message passes. Keys are asked for at the
// end of the header and given before the end of the message, so no thread waits for DNS.
// libopendkim verifies the signatures; what it would read otherwise than the RFCs is checked or
// judged by us, and so is the body (docs/decisions: DKIM results).
#pragma once

#include <cstdint>
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
  std::string reason;  // a few words for people; also what they should know of a pass (l=, t=y)
  // Octets of the canonical body behind what l= covers: anybody can have put them there (RFC 6376
  // 8.2). 0 where all of it is signed.
  std::uint64_t unsigned_octets = 0;
  bool testing = false;  // the key says t=y (RFC 6376 3.6.1)
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
  friend class OpendkimMessage;
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

  // The whole header section; its bytes need not outlive the call. Gives the keys to ask for (TXT),
  // each once. Signatures are examined from the top, as many as limits.dkim_signatures.
  std::vector<dns::Question> headers(const mail::Headers& headers);
  // Does it need the body at all (is there a signature that could pass)? Where not, body() does
  // nothing.
  [[nodiscard]] bool wants_body() const;
  // Body bytes as they come, any splits. Keys may arrive meanwhile.
  void body(std::string_view bytes);
  // `answers` must hold every question of headers(); one that is missing counts as a time-out.
  // Once. One verdict a signature, in header order; empty where there is none.
  std::vector<SignatureVerdict> finish(const dns::Answers& answers);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dkim
