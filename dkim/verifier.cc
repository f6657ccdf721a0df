#include "dkim/verifier.h"

#include <algorithm>
#include <map>

#include "core/base/clock.h"
#include "dkim/canonical.h"
#include "dkim/header_hash.h"
#include "dkim/key_record.h"
#include "dkim/opendkim_message.h"
#include "dkim/signature_field.h"

namespace dkim {
namespace {

constexpr std::int64_t kMillisecondsPerSecond = 1000;
// Each way to hash the body costs a pass over all of it: two for whole bodies, and for l= no more
// than these.
constexpr std::size_t kPartialBodiesMax = 4;

void decide(SignatureVerdict& verdict, Result result, std::string reason) {
  verdict.result = result;
  verdict.reason = std::move(reason);
}

void add_note(SignatureVerdict& verdict, std::string_view note) {
  if (!verdict.reason.empty()) verdict.reason += "; ";
  verdict.reason += note;
}

// The body as some signature hashes it; signatures that hash it alike share one.
struct HashedBody {
  explicit HashedBody(Canonical method, std::uint64_t octets_max) : hash(method, octets_max) {}
  BodyHash hash;
  std::string digest;  // at the end
};

struct Candidate {
  SignatureField field;
  std::string header_digest;
  HashedBody* body = nullptr;
  std::size_t in_library = 0;  // its place there, where field.plain
};

}  // namespace

struct Verifier::State {
  std::shared_ptr<Library> library;
  std::size_t signatures_max = 0;
  std::vector<Candidate> candidates;
  std::unique_ptr<OpendkimMessage> message;
  std::map<std::pair<Canonical, std::uint64_t>, HashedBody> bodies;
  std::map<std::string, KeyRecord> keys;  // by name; read once

  void read(const mail::Headers& headers, std::int64_t now_s);
  void prepare(const mail::Headers& headers);
  const KeyRecord& key_of(const std::string& name, const dns::Answers& answers);
  bool fits(const Candidate& candidate, const KeyRecord& record);
  void judge(Candidate& candidate, const KeyRecord& record);
};

Verifier::Verifier(std::shared_ptr<Library> library, const base::Limits& limits)
    : state_(std::make_unique<State>()) {
  state_->library = std::move(library);
  state_->signatures_max = static_cast<std::size_t>(limits.dkim_signatures);
}
Verifier::~Verifier() = default;

void Verifier::State::read(const mail::Headers& headers, std::int64_t now_s) {
  for (const mail::HeaderField& field : headers.fields()) {
    if (!field.is("DKIM-Signature")) continue;
    Candidate candidate;
    candidate.field = read_signature(field.body, now_s);
    if (candidates.size() >= signatures_max) {
      candidate.field.verifiable = false;
      decide(candidate.field.verdict, Result::kPolicy, "too many signatures; not examined");
    }
    candidates.push_back(std::move(candidate));
  }
}

// All that needs the header section, which may be gone afterwards.
void Verifier::State::prepare(const mail::Headers& headers) {
  const FieldIndex index(headers);
  std::vector<const mail::HeaderField*> for_library;
  std::size_t partial_bodies = 0;
  auto candidate = candidates.begin();
  for (const mail::HeaderField& field : headers.fields()) {
    if (!field.is("DKIM-Signature")) continue;
    SignatureField& signature = candidate->field;
    if (signature.verifiable) {
      const std::pair how{signature.body_method, signature.body_length.value_or(BodyHash::kWhole)};
      if (signature.body_length && !bodies.contains(how) && ++partial_bodies > kPartialBodiesMax) {
        signature.verifiable = false;
        decide(signature.verdict, Result::kPolicy,
               "too many signatures over parts of the body (l=); not examined");
      } else {
        candidate->header_digest =
            index.hash(signature.signed_names, field, signature.header_method);
        candidate->body = &bodies.try_emplace(how, how.first, how.second).first->second;
        candidate->in_library = for_library.size();
        if (signature.plain) for_library.push_back(&field);
      }
    }
    ++candidate;
  }
  message = std::make_unique<OpendkimMessage>(library, headers, for_library);
}

std::vector<dns::Question> Verifier::headers(const mail::Headers& headers) {
  State& state = *state_;
  state.read(headers, base::SystemClock().wall_ms() / kMillisecondsPerSecond);
  std::vector<dns::Question> questions;
  for (const Candidate& candidate : state.candidates) {
    if (!candidate.field.verifiable) continue;
    dns::Question question{candidate.field.key_name, dns::Type::kTxt};
    if (std::find(questions.begin(), questions.end(), question) == questions.end()) {
      questions.push_back(std::move(question));
    }
  }
  if (!questions.empty()) state.prepare(headers);
  return questions;
}

bool Verifier::wants_body() const { return !state_->bodies.empty(); }

void Verifier::body(std::string_view bytes) {
  for (auto& [how, body] : state_->bodies) body.hash.update(bytes);
}

const KeyRecord& Verifier::State::key_of(const std::string& name, const dns::Answers& answers) {
  const auto known = keys.find(name);
  if (known != keys.end()) return known->second;
  return keys.emplace(name, read_key_record(answers.find({name, dns::Type::kTxt}))).first->second;
}

bool Verifier::State::fits(const Candidate& candidate, const KeyRecord& record) {
  if (candidate.field.plain) {
    const auto answer = message->verify(candidate.in_library, record.for_library);
    if (answer != OpendkimMessage::Answer::kUnknown) {
      return answer == OpendkimMessage::Answer::kFits;
    }
  }
  return record.key->verifies(candidate.header_digest, candidate.field.signature);
}

// RFC 6376 6.1.2 and 6.1.3, in their order.
void Verifier::State::judge(Candidate& candidate, const KeyRecord& record) {
  const SignatureField& field = candidate.field;
  SignatureVerdict& verdict = candidate.field.verdict;
  if (!record.key) return decide(verdict, record.result, record.reason);
  verdict.testing = record.key->testing();
  if (verdict.algorithm != name(record.key->algorithm())) {
    return decide(verdict, Result::kPermError, "the key is of another type than the signature");
  }
  if (record.same_domain && field.identity_domain != verdict.domain) {
    return decide(verdict, Result::kPermError,
                  "the key is not for subdomains (t=s), but the identity is in one");
  }
  const std::uint64_t octets = candidate.body->hash.canonical_octets();
  const std::uint64_t covered = field.body_length.value_or(octets);
  if (covered > octets) {
    return decide(verdict, Result::kFail, "the body is shorter than what was signed (l=)");
  }
  if (candidate.body->digest != field.body_hash) {
    return decide(verdict, Result::kFail, "the body was changed");
  }
  if (!fits(candidate, record)) {
    return decide(verdict, Result::kFail, "the signature does not fit");
  }
  decide(verdict, Result::kPass, "");
  verdict.unsigned_octets = octets - covered;
  if (verdict.unsigned_octets > 0) {
    add_note(verdict, std::to_string(verdict.unsigned_octets) +
                          " octets at the end of the body are not signed (l=)");
  }
  if (field.in_future) add_note(verdict, "it was made in the future (t=)");
}

std::vector<SignatureVerdict> Verifier::finish(const dns::Answers& answers) {
  State& state = *state_;
  for (auto& [how, body] : state.bodies) {
    if (body.digest.empty()) body.digest = body.hash.finish();
  }
  std::vector<SignatureVerdict> verdicts;
  for (Candidate& candidate : state.candidates) {
    SignatureVerdict& verdict = candidate.field.verdict;
    if (candidate.field.verifiable && verdict.result == Result::kNone) {
      state.judge(candidate, state.key_of(candidate.field.key_name, answers));
      if (verdict.testing) add_note(verdict, "the domain is only testing DKIM (t=y)");
    }
    verdicts.push_back(verdict);
  }
  return verdicts;
}

}  // namespace dkim
