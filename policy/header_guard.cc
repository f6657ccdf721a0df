#include "policy/header_guard.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <new>

#include "core/base/bytes.h"

namespace policy {
namespace {

// guard2
// from 1 <digest of all its occurrences, in order>
// cc 0
// body <digest>
constexpr std::string_view kVersion = "guard2";
constexpr std::string_view kBodyLine = "body ";
constexpr std::size_t kFieldsMax = 64;

bool is_field_name(std::string_view text) {
  return !text.empty() && text.size() <= 100 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// XXH3, 128 bits: against accidents, not against forgers, for who could change a message in here
// could change its record as well. It costs a tenth of what SHA-256 does.
std::string octets_of(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  return {reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest};
}

// Appends what the guard remembers of one name: how often it stands there, and all of it.
// `occurrences` is only lent.
void add_field_line(std::string& to, const mail::Headers& headers, std::string_view name,
                    std::string& occurrences) {
  std::size_t count = 0;
  occurrences.clear();
  for (const mail::HeaderField& field : headers.fields()) {
    if (!field.is(name)) continue;
    ++count;
    occurrences += std::to_string(field.raw.size());
    occurrences += ':';
    occurrences += field.raw;
  }
  to += name;
  to += ' ';
  to += std::to_string(count);
  if (count == 0) return;
  to += ' ';
  to += base::base64url_encode(octets_of(XXH3_128bits(occurrences.data(), occurrences.size())));
}

std::vector<std::string_view> lines_of(std::string_view guard) {
  auto lines = base::split(guard, '\n');
  if (lines.empty() || lines.front() != kVersion || lines.size() > kFieldsMax + 3) return {};
  if (!lines.back().starts_with(kBodyLine)) return {};  // cut off
  lines.erase(lines.begin());
  return lines;
}

}  // namespace

struct BodyDigest::State {
  XXH3_state_t* const digest = XXH3_createState();
  State() {
    if (digest == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(digest);
  }
  ~State() { XXH3_freeState(digest); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};
BodyDigest::BodyDigest() : state_(std::make_unique<State>()) {}
BodyDigest::~BodyDigest() = default;
void BodyDigest::update(std::string_view bytes) {
  XXH3_128bits_update(state_->digest, bytes.data(), bytes.size());
}
std::string BodyDigest::finish() { return octets_of(XXH3_128bits_digest(state_->digest)); }

std::vector<std::string> protected_fields(const std::vector<std::string>& marker_headers) {
  std::vector<std::string> names = {"auto-submitted",
                                    "x-auto-response-suppress",
                                    "x-mailer",
                                    "from",
                                    "to",
                                    "cc",
                                    "reply-to",
                                    "subject",
                                    "date",
                                    "message-id",
                                    "in-reply-to",
                                    "references"};
  for (const std::string& field : marker_headers) {
    std::string name = base::ascii_lower(field);
    if (!is_field_name(name) || names.size() >= kFieldsMax) continue;
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    names.push_back(std::move(name));
  }
  return names;
}

std::string make_guard(const mail::Headers& headers, const std::vector<std::string>& fields,
                       std::string_view body_digest) {
  std::string guard(kVersion);
  guard += '\n';
  std::string occurrences;
  for (const std::string& name : fields) {
    add_field_line(guard, headers, name, occurrences);
    guard += '\n';
  }
  guard += kBodyLine;
  return guard += base::base64url_encode(body_digest);
}

base::Status check_headers(std::string_view guard, const mail::Headers& headers) {
  const auto lines = lines_of(guard);
  if (lines.size() < 2) return base::error("the header guard of the message cannot be read");
  std::string line;
  std::string occurrences;
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    const std::string_view name = lines[i].substr(0, lines[i].find(' '));
    line.clear();
    add_field_line(line, headers, name, occurrences);
    if (line != lines[i]) {
      return base::error("the header field " + std::string(name) +
                         " is not what was submitted; the message is held, please report this");
    }
  }
  return base::Ok{};
}

base::Status check_body(std::string_view guard, std::string_view body_digest) {
  const auto lines = lines_of(guard);
  if (lines.empty()) {
    return base::error("the header guard of the message cannot be read");
  }
  if (lines.back().substr(kBodyLine.size()) != base::base64url_encode(body_digest)) {
    return base::error(
        "the body is not what was submitted; the message is held, please report this");
  }
  return base::Ok{};
}

}  // namespace policy
