#include "dkim/arc.h"

#include <openssl/evp.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <optional>
#include <stdexcept>

#include "dkim/arc_set.h"
#include "dkim/canonical.h"
#include "dkim/header_hash.h"
#include "dkim/public_key.h"

namespace dkim {
namespace {

// SHA-256 that can be asked in the middle: the seals of a chain cover ever longer pieces of the
// same text, which is hashed once.
class RunningHash {
 public:
  RunningHash() : context_(EVP_MD_CTX_new()) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) {
      throw std::runtime_error("SHA-256 is not available");
    }
  }
  void update(std::string_view bytes) {
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }
  // The digest of everything so far and `last`.
  [[nodiscard]] std::string with(std::string_view last) const {
    const std::unique_ptr<EVP_MD_CTX, Free> copy(EVP_MD_CTX_new());
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    if (!copy || EVP_MD_CTX_copy_ex(copy.get(), context_.get()) != 1 ||
        EVP_DigestUpdate(copy.get(), last.data(), last.size()) != 1 ||
        EVP_DigestFinal_ex(copy.get(), reinterpret_cast<unsigned char*>(digest.data()), &size) !=
            1) {
      throw std::runtime_error("SHA-256 is not available");
    }
    digest.resize(size);
    return digest;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

// One signature that must fit.
struct Proof {
  std::string what;  // for people
  ArcSignature signature;
  std::string digest;
};

}  // namespace

std::string_view name(ArcResult result) {
  switch (result) {
    case ArcResult::kNone:
      return "none";
    case ArcResult::kPass:
      return "pass";
    case ArcResult::kFail:
      return "fail";
  }
  return "none";
}

struct ArcVerifier::State {
  base::Limits limits;
  ArcVerdict verdict;
  std::vector<Proof> proofs;  // in the order of RFC 8617 5.2: the message, then the seals N to 1
  std::string body_hash;      // as the newest ARC-Message-Signature has it
  std::uint64_t body_octets = BodyHash::kWhole;
  std::optional<BodyHash> body;  // only where the structure holds
  std::map<std::string, base::Result<PublicKey>> keys;

  void fail(std::string reason) {
    verdict.result = ArcResult::kFail;
    verdict.reason = std::move(reason);
  }
  void prepare(const mail::Headers& headers, const std::vector<ArcLink>& links);
  bool prepare_message(const mail::Headers& headers, const ArcLink& newest);
  bool prepare_seals(const std::vector<ArcLink>& links);
  void judge(const dns::Answers& answers);
  bool body_fits();
  const base::Result<PublicKey>& key_of(const std::string& key_name, const dns::Answer& answer);
  void judge_proof(const Proof& proof, const dns::Answer& answer);
};

ArcVerifier::ArcVerifier(const base::Limits& limits) : state_(std::make_unique<State>()) {
  state_->limits = limits;
}
ArcVerifier::~ArcVerifier() = default;

bool ArcVerifier::State::prepare_message(const mail::Headers& headers, const ArcLink& newest) {
  const std::string what =
      "the ARC-Message-Signature of set " + std::to_string(newest.set.instance);
  auto read = read_arc_message_signature(newest.signature_tags, std::time(nullptr));
  if (!read) {
    fail(what + " is invalid: " + read.message());
    return false;
  }
  body_hash = read->body_hash;
  body_octets = read->body_octets;
  body.emplace(read->body, body_octets);
  proofs.push_back({what, read->signature,
                    FieldIndex(headers).hash(read->fields, *newest.signature, read->header)});
  return true;
}

// RFC 8617 5.1.1: every seal covers all sets up to its own, in relaxed form.
bool ArcVerifier::State::prepare_seals(const std::vector<ArcLink>& links) {
  RunningHash hash;
  std::vector<Proof> seals;
  for (const ArcLink& link : links) {
    const std::string what = "the ARC-Seal of set " + std::to_string(link.set.instance);
    auto read = read_arc_seal(link.seal_tags);
    if (!read) {
      fail(what + " is invalid: " + read.message());
      return false;
    }
    hash.update(canonical_field(*link.results, Canonical::kRelaxed) + "\r\n");
    hash.update(canonical_field(*link.signature, Canonical::kRelaxed) + "\r\n");
    seals.push_back(
        {what, read.take(), hash.with(canonical_unsigned_field(*link.seal, Canonical::kRelaxed))});
    hash.update(canonical_field(*link.seal, Canonical::kRelaxed) + "\r\n");
  }
  proofs.insert(proofs.end(), std::make_move_iterator(seals.rbegin()),
                std::make_move_iterator(seals.rend()));
  return true;
}

void ArcVerifier::State::prepare(const mail::Headers& headers, const std::vector<ArcLink>& links) {
  if (prepare_message(headers, links.back()) && prepare_seals(links)) return;
  proofs.clear();
  body.reset();
}

std::vector<dns::Question> ArcVerifier::headers(const mail::Headers& headers) {
  State& state = *state_;
  ArcChain chain = collect_arc_sets(headers, state.limits);
  if (chain.empty()) return {};
  if (chain.problem) {
    state.fail(*chain.problem);
  } else {
    state.prepare(headers, chain.links);
  }
  for (ArcLink& link : chain.links) state.verdict.sets.push_back(std::move(link.set));

  std::vector<dns::Question> questions;
  for (const Proof& proof : state.proofs) {
    dns::Question question{proof.signature.key_name, dns::Type::kTxt};
    if (std::find(questions.begin(), questions.end(), question) == questions.end()) {
      questions.push_back(std::move(question));
    }
  }
  return questions;
}

void ArcVerifier::body(std::string_view bytes) {
  if (state_->body) state_->body->update(bytes);
}

bool ArcVerifier::State::body_fits() {
  const std::string hash = body->finish();
  const std::uint64_t octets = body->canonical_octets();
  if (body_octets != BodyHash::kWhole) {
    // RFC 6376 3.5: l= must not be more than there is.
    if (body_octets > octets) {
      fail("the body is shorter than what " + proofs.front().what + " covers (l=)");
      return false;
    }
    verdict.unsigned_octets = octets - body_octets;
  }
  if (hash == body_hash) return true;
  fail("the body was changed behind " + proofs.front().what);
  return false;
}

const base::Result<PublicKey>& ArcVerifier::State::key_of(const std::string& key_name,
                                                          const dns::Answer& answer) {
  const auto known = keys.find(key_name);
  if (known != keys.end()) return known->second;
  return keys.emplace(key_name, PublicKey::parse(answer)).first->second;
}

void ArcVerifier::State::judge_proof(const Proof& proof, const dns::Answer& answer) {
  const auto& key = key_of(proof.signature.key_name, answer);
  if (!key.ok()) return fail(proof.what + " has no usable key: " + key.message());
  if (key->algorithm() != proof.signature.algorithm) {
    return fail(proof.what + " is of another algorithm than its key");
  }
  if (!key->verifies(proof.digest, proof.signature.signature))
    return fail(proof.what + " does not fit");
  verdict.testing = verdict.testing || key->testing();
}

// RFC 8617 5.2 steps 4, 6, 7. What DNS did not answer is looked at last: a chain that fails for
// another reason too will never pass.
void ArcVerifier::State::judge(const dns::Answers& answers) {
  if (!body_fits()) return;
  const Proof* unanswered = nullptr;
  for (const Proof& proof : proofs) {
    const dns::Answer* answer = answers.find({proof.signature.key_name, dns::Type::kTxt});
    if (answer == nullptr || answer->temporary()) {
      if (unanswered == nullptr) unanswered = &proof;
      continue;
    }
    judge_proof(proof, *answer);
    if (verdict.result == ArcResult::kFail) return;
  }
  if (unanswered != nullptr) {
    verdict.temporary = true;
    return fail("DNS did not answer for the key of " + unanswered->what);
  }
  verdict.result = ArcResult::kPass;
}

ArcVerdict ArcVerifier::finish(const dns::Answers& answers) {
  State& state = *state_;
  if (state.body) state.judge(answers);
  return std::move(state.verdict);
}

}  // namespace dkim
