#include "policy/header_guard.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

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
// A field that stands there once: in here, and in the message.
constexpr std::size_t kLineExpected = 40;
constexpr std::size_t kFieldExpected = 200;

bool is_field_name(std::string_view text) {
  return !text.empty() && text.size() <= 100 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// XXH3, 128 bits: against accidents, not against forgers, for who could change a message in here
// could change its record as well. It costs a tenth of what SHA-256 does.
struct Digest {
  explicit Digest(XXH128_hash_t hash) { XXH128_canonicalFromHash(&canonical, hash); }
  [[nodiscard]] std::string_view octets() const {
    return {reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest};
  }
  XXH128_canonical_t canonical;
};

void append_number(std::string& to, std::size_t number) {
  std::array<char, 20> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  to.append(digits.data(), end);
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
    append_number(occurrences, field.raw.size());
    occurrences += ':';
    occurrences += field.raw;
  }
  to += name;
  to += ' ';
  append_number(to, count);
  if (count == 0) return;
  to += ' ';
  base::append_base64url(to, Digest(XXH3_128bits(occurrences.data(), occurrences.size())).octets());
}

struct Parsed {
  std::string_view fields;  // lines
  std::string_view body;    // its digest
};

std::optional<Parsed> parse(std::string_view guard) {
  const std::size_t last = guard.rfind('\n');
  const std::size_t first = guard.find('\n');
  if (last == std::string_view::npos || guard.substr(0, first) != kVersion) return std::nullopt;
  const std::string_view body = guard.substr(last + 1);
  if (!body.starts_with(kBodyLine)) return std::nullopt;  // cut off
  if (std::count(guard.begin(), guard.end(), '\n') > static_cast<std::ptrdiff_t>(kFieldsMax) + 2) {
    return std::nullopt;
  }
  return Parsed{guard.substr(first + 1, last == first ? 0 : last - first - 1),
                body.substr(kBodyLine.size())};
}

}  // namespace

struct BodyDigest::State {
  XXH3_state_t digest;
};
BodyDigest::BodyDigest() : state_(std::make_unique_for_overwrite<State>()) {
  XXH3_128bits_reset(&state_->digest);
}
BodyDigest::~BodyDigest() = default;
void BodyDigest::update(std::string_view bytes) {
  XXH3_128bits_update(&state_->digest, bytes.data(), bytes.size());
}
std::string BodyDigest::finish() {
  return std::string(Digest(XXH3_128bits_digest(&state_->digest)).octets());
}

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
  std::string guard;
  guard.reserve(kLineExpected * (fields.size() + 2));
  guard += kVersion;
  guard += '\n';
  std::string occurrences;
  occurrences.reserve(kFieldExpected);
  for (const std::string& name : fields) {
    add_field_line(guard, headers, name, occurrences);
    guard += '\n';
  }
  guard += kBodyLine;
  base::append_base64url(guard, body_digest);
  return guard;
}

base::Status check_headers(std::string_view guard, const mail::Headers& headers) {
  const auto parsed = parse(guard);
  if (!parsed || parsed->fields.empty()) {
    return base::error("the header guard of the message cannot be read");
  }
  std::string line;
  std::string occurrences;
  occurrences.reserve(kFieldExpected);
  for (const std::string_view expected : base::parts(parsed->fields, '\n')) {
    const std::string_view name = expected.substr(0, expected.find(' '));
    line.clear();
    add_field_line(line, headers, name, occurrences);
    if (line != expected) {
      return base::error("the header field " + std::string(name) +
                         " is not what was submitted; the message is held, please report this");
    }
  }
  return base::Ok{};
}

base::Status check_body(std::string_view guard, std::string_view body_digest) {
  const auto parsed = parse(guard);
  if (!parsed) return base::error("the header guard of the message cannot be read");
  if (parsed->body != base::base64url_encode(body_digest)) {
    return base::error(
        "the body is not what was submitted; the message is held, please report this");
  }
  return base::Ok{};
}

}  // namespace policy
