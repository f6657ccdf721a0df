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
class Digest {
 public:
  Digest() : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(state_);
  }
  ~Digest() { XXH3_freeState(state_); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void update(std::string_view bytes) { XXH3_128bits_update(state_, bytes.data(), bytes.size()); }
  std::string finish() {  // begins anew
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_));
    XXH3_128bits_reset(state_);
    return {reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest};
  }

 private:
  XXH3_state_t* state_;
};

// What the guard remembers of one name: how often it stands there, and all of it. `digest` is only
// lent.
std::string field_line(const mail::Headers& headers, std::string_view name, Digest& digest) {
  std::size_t count = 0;
  for (const mail::HeaderField& field : headers.fields()) {
    if (!field.is(name)) continue;
    ++count;
    digest.update(std::to_string(field.raw.size()) + ":");
    digest.update(field.raw);
  }
  std::string line = std::string(name) + " " + std::to_string(count);
  if (count > 0) {
    line += " " + base::base64url_encode(digest.finish());
  }
  return line;
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
  Digest digest;
};
BodyDigest::BodyDigest() : state_(std::make_unique<State>()) {}
BodyDigest::~BodyDigest() = default;
void BodyDigest::update(std::string_view bytes) { state_->digest.update(bytes); }
std::string BodyDigest::finish() { return state_->digest.finish(); }

std::vector<std::string> protected_fields(const std::vector<std::string>& marker_headers) {
  std::vector<std::string> fields = {"Auto-Submitted",
                                     "X-Auto-Response-Suppress",
                                     "X-Mailer",
                                     "From",
                                     "To",
                                     "Cc",
                                     "Reply-To",
                                     "Subject",
                                     "Date",
                                     "Message-ID",
                                     "In-Reply-To",
                                     "References"};
  fields.insert(fields.end(), marker_headers.begin(), marker_headers.end());
  return fields;
}

std::string make_guard(const mail::Headers& headers, const std::vector<std::string>& fields,
                       std::string_view body_digest) {
  std::string guard = std::string(kVersion) + "\n";
  Digest digest;
  std::vector<std::string> names;
  for (const std::string& field : fields) {
    const std::string name = base::ascii_lower(field);
    if (!is_field_name(name) || names.size() >= kFieldsMax) continue;
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    names.push_back(name);
    guard += field_line(headers, name, digest) + "\n";
  }
  return guard + std::string(kBodyLine) + base::base64url_encode(body_digest);
}

base::Status check_headers(std::string_view guard, const mail::Headers& headers) {
  const auto lines = lines_of(guard);
  if (lines.size() < 2) return base::error("the header guard of the message cannot be read");
  Digest digest;
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    const std::string_view name = lines[i].substr(0, lines[i].find(' '));
    if (field_line(headers, name, digest) != lines[i]) {
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
