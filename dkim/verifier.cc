#include "dkim/verifier.h"

#include <algorithm>
#include <cstring>

#include "core/base/bytes.h"
#include "dkim/opendkim.h"
#include "dkim/signature_field.h"
#include "dkim/tag_list.h"

namespace dkim {
namespace {

constexpr unsigned kRsaBitsMin = 1024;  // RFC 8301 3.2

// The library takes bytes it only reads as pointers to writable ones.
u_char* readable(std::string_view bytes) {
  return const_cast<u_char*>(reinterpret_cast<const u_char*>(bytes.data()));
}

struct Key {
  enum class State { kFound, kMissing, kTemporary, kAmbiguous };
  State state = State::kMissing;
  std::string record;
};

// RFC 6376 3.6.2.2: several records are undefined; the one that says it is a key is taken.
Key read_key(const dns::Answer* answer) {
  if (answer == nullptr || answer->temporary()) return {Key::State::kTemporary, {}};
  if (answer->status != dns::Status::kOk || answer->records.empty()) return {};
  if (answer->records.size() == 1) return {Key::State::kFound, answer->records.front()};
  const std::string* only = nullptr;
  for (const std::string& record : answer->records) {
    if (!base::istarts_with(without_blanks(record.substr(0, 64)), "v=DKIM1")) continue;
    if (only != nullptr) return {Key::State::kAmbiguous, {}};
    only = &record;
  }
  return only == nullptr ? Key{Key::State::kAmbiguous, {}} : Key{Key::State::kFound, *only};
}

std::string text_of(DKIM_STAT status) {
  const char* text = dkim_getresultstr(status);
  return text == nullptr ? "error " + std::to_string(status) : text;
}

void decide(SignatureVerdict& verdict, Result result, std::string reason) {
  verdict.result = result;
  verdict.reason = std::move(reason);
}

}  // namespace

struct Library::State {
  DKIM_LIB* handle = nullptr;
  ~State() {
    if (handle != nullptr) dkim_close(handle);
  }
};

Library::Library() : state_(std::make_unique<State>()) {}
Library::~Library() = default;

// What one signature is for the library and for us.
struct Candidate {
  SignatureField field;
  DKIM_SIGINFO* info = nullptr;
  std::string key;  // for the key lookup
};

struct Verifier::State {
  std::shared_ptr<Library> library;
  std::size_t signatures_max = 0;
  DKIM* handle = nullptr;
  std::vector<Candidate> candidates;
  std::string trouble;  // why nothing can be verified
  std::string tail;     // the last two octets of the body
  bool finished = false;

  ~State() {
    if (handle != nullptr) dkim_free(handle);
  }
  void feed(const mail::Headers& headers);
  void match_signatures();
  void fetch_key(Candidate& candidate, const dns::Answers& answers);
  void process(Candidate& candidate);
  void judge(Candidate& candidate);
  [[nodiscard]] bool anything_to_verify() const {
    return trouble.empty() && std::any_of(candidates.begin(), candidates.end(),
                                          [](const auto& c) { return c.field.verifiable; });
  }
};

namespace {

// Called by the library while it processes a signature, on the thread that called it.
DKIM_CBSTAT key_lookup(DKIM* handle, DKIM_SIGINFO* info, u_char* buffer, size_t size) {
  const auto* candidates =
      static_cast<const std::vector<Candidate>*>(dkim_get_user_context(handle));
  if (candidates == nullptr) return DKIM_CBSTAT_ERROR;
  for (const Candidate& candidate : *candidates) {
    if (candidate.info != info) continue;
    if (candidate.key.size() >= size) return DKIM_CBSTAT_ERROR;
    std::memcpy(buffer, candidate.key.c_str(), candidate.key.size() + 1);
    return DKIM_CBSTAT_CONTINUE;
  }
  return DKIM_CBSTAT_NOTFOUND;
}

}  // namespace

base::Result<std::shared_ptr<Library>> Library::open() {
  std::shared_ptr<Library> library(new Library());
  DKIM_LIB* handle = dkim_init(nullptr, nullptr);
  if (handle == nullptr) return base::error("libopendkim cannot be started");
  library->state_->handle = handle;
  if (!dkim_libfeature(handle, DKIM_FEATURE_SHA256) ||
      !dkim_libfeature(handle, DKIM_FEATURE_ED25519)) {
    return base::error("this libopendkim lacks rsa-sha256 or ed25519-sha256; install 2.11");
  }
  u_int flags = DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES;
  if (dkim_options(handle, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof flags) != DKIM_STAT_OK ||
      dkim_set_key_lookup(handle, key_lookup) != DKIM_STAT_OK) {
    return base::error("libopendkim does not take our settings");
  }
  return library;
}

Verifier::Verifier(std::shared_ptr<Library> library, const base::Limits& limits)
    : state_(std::make_unique<State>()) {
  state_->library = std::move(library);
  state_->signatures_max = static_cast<std::size_t>(limits.dkim_signatures);
}
Verifier::~Verifier() = default;

void Verifier::State::feed(const mail::Headers& headers) {
  DKIM_STAT status = DKIM_STAT_OK;
  handle = dkim_verify(library->state_->handle, reinterpret_cast<const u_char*>("relayd"), nullptr,
                       &status);
  if (handle == nullptr) {
    trouble = "the DKIM library has no memory";
    return;
  }
  std::size_t next = 0;
  for (const mail::HeaderField& field : headers.fields()) {
    const bool signature = field.is("DKIM-Signature");
    // A malformed one would only confuse the library, one past the limit would cost it a body hash.
    if (signature && !candidates[next++].field.well_formed) continue;
    std::string_view raw = field.raw;
    if (raw.ends_with("\r\n")) raw.remove_suffix(2);
    // The library takes no blanks before the colon (RFC 5322 4.5 has them); relaxed ones go anyway.
    std::string rebuilt;
    if (raw.size() > field.name.size() && raw[field.name.size()] != ':') {
      rebuilt.append(field.name).append(":").append(field.body);
      raw = rebuilt;
    }
    status = dkim_header(handle, readable(raw), raw.size());
    if (status != DKIM_STAT_OK && !signature) {
      trouble = "the header cannot be read: " + text_of(status);
      return;
    }
  }
  status = dkim_eoh(handle);
  match_signatures();
  const bool matched = std::any_of(candidates.begin(), candidates.end(),
                                   [](const auto& c) { return c.info != nullptr; });
  if (status != DKIM_STAT_OK && !matched) {
    trouble = "the signatures cannot be read: " + text_of(status);
  }
}

// The library lists the signatures in their order, but leaves out what it could not parse.
void Verifier::State::match_signatures() {
  DKIM_SIGINFO** list = nullptr;
  int count = 0;
  if (dkim_getsiglist(handle, &list, &count) != DKIM_STAT_OK) return;
  auto candidate = candidates.begin();
  for (int i = 0; i < count; ++i) {
    char tag[] = "b";
    const u_char* value = dkim_sig_gettagvalue(list[i], false, reinterpret_cast<u_char*>(tag));
    if (value == nullptr) continue;
    const std::string signature = without_blanks(reinterpret_cast<const char*>(value));
    const auto found = std::find_if(candidate, candidates.end(), [&](const Candidate& one) {
      return one.field.well_formed && one.field.signature == signature;
    });
    if (found == candidates.end()) continue;
    found->info = list[i];
    candidate = found + 1;
  }
}

std::vector<dns::Question> Verifier::headers(const mail::Headers& headers) {
  State& state = *state_;
  std::vector<dns::Question> questions;
  std::size_t examined = 0;
  for (const mail::HeaderField& field : headers.fields()) {
    if (!field.is("DKIM-Signature")) continue;
    Candidate candidate;
    candidate.field = read_signature(field.body);
    if (++examined > state.signatures_max) {
      candidate.field.well_formed = candidate.field.verifiable = false;
      decide(candidate.field.verdict, Result::kPolicy, "too many signatures; not examined");
    }
    if (candidate.field.verifiable) {
      dns::Question question{candidate.field.key_name, dns::Type::kTxt};
      if (std::find(questions.begin(), questions.end(), question) == questions.end()) {
        questions.push_back(std::move(question));
      }
    }
    state.candidates.push_back(std::move(candidate));
  }
  if (!questions.empty()) state.feed(headers);
  if (!state.trouble.empty()) questions.clear();
  return questions;
}

bool Verifier::wants_body() const {
  return state_->handle != nullptr && state_->anything_to_verify();
}

void Verifier::body(std::string_view bytes) {
  State& state = *state_;
  if (bytes.empty() || !wants_body()) return;
  const DKIM_STAT status = dkim_body(state.handle, readable(bytes), bytes.size());
  if (status != DKIM_STAT_OK) {
    state.trouble = "the body cannot be read: " + text_of(status);
  }
  state.tail += bytes.substr(bytes.size() > 2 ? bytes.size() - 2 : 0);
  if (state.tail.size() > 2) state.tail.erase(0, state.tail.size() - 2);
}

// Everything that is decided before the library looks at the key.
void Verifier::State::fetch_key(Candidate& candidate, const dns::Answers& answers) {
  SignatureVerdict& verdict = candidate.field.verdict;
  Key key = read_key(answers.find({candidate.field.key_name, dns::Type::kTxt}));
  switch (key.state) {
    case Key::State::kTemporary:
      return decide(verdict, Result::kTempError, "DNS did not answer for the key");
    case Key::State::kMissing:
      return decide(verdict, Result::kPermError, "there is no key in DNS");
    case Key::State::kAmbiguous:
      return decide(verdict, Result::kPermError, "there are several keys in DNS");
    case Key::State::kFound:
      break;
  }
  candidate.key = std::move(key.record);
  if (candidate.info == nullptr)
    decide(verdict, Result::kPermError, "the signature cannot be read");
}

void Verifier::State::process(Candidate& candidate) {
  const DKIM_STAT status = dkim_sig_process(handle, candidate.info);
  if (status != DKIM_STAT_OK && dkim_sig_geterror(candidate.info) <= DKIM_SIGERROR_OK) {
    return decide(candidate.field.verdict, Result::kPermError,
                  "the key cannot be used: " + text_of(status));
  }
  judge(candidate);
}

void Verifier::State::judge(Candidate& candidate) {
  SignatureVerdict& verdict = candidate.field.verdict;
  DKIM_SIGINFO* info = candidate.info;
  const int error = dkim_sig_geterror(info);
  const unsigned flags = dkim_sig_getflags(info);
  unsigned bits = 0;
  if (verdict.algorithm == "rsa-sha256" &&
      (error == DKIM_SIGERROR_KEYTOOSMALL ||
       (dkim_sig_getkeysize(info, &bits) == DKIM_STAT_OK && bits > 0 && bits < kRsaBitsMin))) {
    return decide(verdict, Result::kPolicy, "the RSA key is shorter than 1024 bits (RFC 8301 3.2)");
  }
  const bool hash_differs = dkim_sig_getbh(info) == DKIM_SIGBH_MISMATCH;
  if (error == DKIM_SIGERROR_BADSIG || (error <= DKIM_SIGERROR_OK && hash_differs)) {
    return decide(verdict, Result::kFail,
                  hash_differs ? "the body was changed" : "the signature does not fit");
  }
  if (error > DKIM_SIGERROR_OK) {
    const char* text = dkim_sig_geterrorstr(error);
    return decide(verdict, Result::kPermError, text == nullptr ? "the signature is invalid" : text);
  }
  if ((flags & DKIM_SIGFLAG_PASSED) == 0 || dkim_sig_getbh(info) != DKIM_SIGBH_MATCH) {
    return decide(verdict, Result::kFail, "the signature does not fit");
  }
  ssize_t message = 0;
  ssize_t canonical = 0;
  ssize_t covered = 0;
  // RFC 6376 8.2: what stands behind l= octets can be anything.
  if (dkim_sig_getcanonlen(handle, info, &message, &canonical, &covered) == DKIM_STAT_OK &&
      covered >= 0 && covered < canonical) {
    return decide(verdict, Result::kPolicy, "only a part of the body is signed (l=)");
  }
  decide(verdict, Result::kPass, "");
}

std::vector<SignatureVerdict> Verifier::finish(const dns::Answers& answers) {
  State& state = *state_;
  const auto undecided = [](const Candidate& one) {
    return one.field.verifiable && one.field.verdict.result == Result::kNone;
  };
  if (wants_body() && !state.finished) {
    state.finished = true;
    // The library calls a last line without CRLF a syntax error (RFC 6376 3.4.3 adds the CRLF).
    if (!state.tail.empty() && state.tail != "\r\n") body("\r\n");
    for (Candidate& candidate : state.candidates) {
      if (undecided(candidate)) state.fetch_key(candidate, answers);
      if (candidate.info != nullptr && !undecided(candidate)) dkim_sig_ignore(candidate.info);
    }
    dkim_set_user_context(state.handle, &state.candidates);
    // Ends the body and stops at the first signature that passes or that it cannot judge; the
    // others are processed one by one.
    dkim_eom(state.handle, nullptr);
    for (Candidate& candidate : state.candidates) {
      if (undecided(candidate) && state.trouble.empty()) state.process(candidate);
    }
    dkim_set_user_context(state.handle, nullptr);
  }
  std::vector<SignatureVerdict> verdicts;
  for (Candidate& candidate : state.candidates) {
    if (undecided(candidate)) decide(candidate.field.verdict, Result::kPermError, state.trouble);
    verdicts.push_back(candidate.field.verdict);
  }
  return verdicts;
}

}  // namespace dkim
