#include "dkim/canonical.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "core/base/bytes.h"
#include "dkim/signer.h"

namespace dkim {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view without_line_end(std::string_view raw) {
  if (raw.ends_with("\r\n")) raw.remove_suffix(2);
  return raw;
}

// A tag list without the value of its tag b.
std::string without_signature(std::string_view tags) {
  std::string result;
  bool first = true;
  for (const std::string_view part : base::parts(tags, ';')) {
    if (!first) result += ';';
    first = false;
    const auto equals = part.find('=');
    const bool signature =
        equals != std::string_view::npos && base::trim(part.substr(0, equals)) == "b";
    result += signature ? part.substr(0, equals + 1) : part;
  }
  return result;
}

}  // namespace

std::string relaxed_field(std::string_view name, std::string_view body) {
  std::string result = base::ascii_lower(base::trim(name));
  result += ':';
  bool blank = false;
  bool any = false;
  for (const char c : body) {
    if (is_blank(c) || c == '\r' || c == '\n') {
      blank = true;
      continue;
    }
    if (blank && any) result += ' ';
    blank = false;
    any = true;
    result += c;
  }
  return result;
}

std::string canonical_field(const mail::HeaderField& field, Canonical method) {
  return method == Canonical::kRelaxed ? relaxed_field(field.name, field.body)
                                       : std::string(without_line_end(field.raw));
}

std::string canonical_unsigned_field(const mail::HeaderField& field, Canonical method) {
  const std::string body = without_signature(field.body);
  if (method == Canonical::kRelaxed) return relaxed_field(field.name, body);
  const std::string_view raw = without_line_end(field.raw);
  return std::string(raw.substr(0, raw.size() - field.body.size())) + body;
}

std::string sha256(std::string_view bytes) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
                 EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("SHA-256 is not available");
  }
  digest.resize(size);
  return digest;
}

struct BodyHash::State {
  const Canonical method;
  std::uint64_t left;  // of l=
  std::uint64_t octets = 0;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  std::array<char, 8192> buffer{};
  std::size_t filled = 0;
  // What has been seen but not yet hashed, because it may turn out to be the end.
  std::uint64_t line_ends = 0;
  bool blank = false;
  bool cr = false;
  bool any = false;

  State(Canonical canonical, std::uint64_t octets_max) : method(canonical), left(octets_max) {
    if (context == nullptr || EVP_DigestInit_ex(context, EVP_sha256(), nullptr) != 1) {
      EVP_MD_CTX_free(context);
      throw std::runtime_error("SHA-256 is not available");
    }
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void flush() {
    EVP_DigestUpdate(context, buffer.data(), filled);
    filled = 0;
  }

  void put(std::string_view bytes) {
    octets += bytes.size();
    const auto covered = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left));
    left -= covered;
    bytes = bytes.substr(0, covered);
    if (bytes.size() > buffer.size() - filled) flush();
    if (bytes.size() > buffer.size()) {
      EVP_DigestUpdate(context, bytes.data(), bytes.size());
    } else if (!bytes.empty()) {
      std::memcpy(buffer.data() + filled, bytes.data(), bytes.size());
      filled += bytes.size();
    }
  }

  void text(std::string_view bytes) {
    for (; line_ends > 0; --line_ends) put("\r\n");
    if (blank) put(" ");
    blank = false;
    any = true;
    put(bytes);
  }

  // How many octets at the start stand for themselves; in the relaxed form so does a single space
  // between two others.
  [[nodiscard]] std::size_t plain(std::string_view bytes) const {
    if (method == Canonical::kSimple) return std::min(bytes.find('\r'), bytes.size());
    const auto is_plain = [](char c) { return c != '\r' && c != ' ' && c != '\t'; };
    std::size_t size = 0;
    for (;;) {
      while (size < bytes.size() && is_plain(bytes[size])) ++size;
      if (size == 0 || size + 1 >= bytes.size() || bytes[size] != ' ') return size;
      if (!is_plain(bytes[size + 1])) return size;
      ++size;
    }
  }

  // A CR came before.
  void after_cr(std::string_view& bytes) {
    cr = false;
    if (bytes.front() != '\n') return text("\r");
    blank = false;
    ++line_ends;
    bytes.remove_prefix(1);
  }

  void update(std::string_view bytes) {
    while (!bytes.empty()) {
      if (cr) {
        after_cr(bytes);
        continue;
      }
      if (const std::size_t size = plain(bytes); size > 0) {
        text(bytes.substr(0, size));
        bytes.remove_prefix(size);
        continue;
      }
      (bytes.front() == '\r' ? cr : blank) = true;
      bytes.remove_prefix(1);
    }
  }

  // RFC 6376 3.4.3 and 3.4.4: empty lines at the end count for nothing and a last line without CRLF
  // gets one. An empty body is one CRLF in the simple form, nothing in the relaxed one.
  std::string finish() {
    if (cr) text("\r");
    if (any || method == Canonical::kSimple) put("\r\n");
    flush();
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    EVP_DigestFinal_ex(context, reinterpret_cast<unsigned char*>(digest.data()), &size);
    digest.resize(size);
    return digest;
  }
};

BodyHash::BodyHash(Canonical method, std::uint64_t octets_max)
    : state_(std::make_unique<State>(method, octets_max)) {}
BodyHash::~BodyHash() = default;
void BodyHash::update(std::string_view bytes) { state_->update(bytes); }
std::string BodyHash::finish() { return state_->finish(); }
std::uint64_t BodyHash::canonical_octets() const { return state_->octets; }

struct RelaxedBodyHash::State {
  BodyHash hash{Canonical::kRelaxed};
};

RelaxedBodyHash::RelaxedBodyHash() : state_(std::make_unique<State>()) {}
RelaxedBodyHash::~RelaxedBodyHash() = default;
void RelaxedBodyHash::update(std::string_view bytes) { state_->hash.update(bytes); }
std::string RelaxedBodyHash::finish() { return state_->hash.finish(); }

}  // namespace dkim
