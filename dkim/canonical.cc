#include "dkim/canonical.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <stdexcept>

#include "core/base/bytes.h"
#include "dkim/signer.h"

namespace dkim {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

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

struct RelaxedBodyHash::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  std::array<char, 8192> buffer{};
  std::size_t filled = 0;
  // What has been seen but not yet hashed, because it may turn out to be the end.
  std::uint64_t line_ends = 0;
  bool blank = false;
  bool cr = false;
  bool any = false;

  State() {
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
  void put(char c) {
    if (filled == buffer.size()) flush();
    buffer[filled++] = c;
  }
  void data(char c) {
    for (; line_ends > 0; --line_ends) {
      put('\r');
      put('\n');
    }
    if (blank) put(' ');
    blank = false;
    any = true;
    put(c);
  }
  void take(char c) {
    if (cr) {
      cr = false;
      if (c == '\n') {
        blank = false;
        ++line_ends;
        return;
      }
      data('\r');
    }
    if (c == '\r') {
      cr = true;
    } else if (is_blank(c)) {
      blank = true;
    } else {
      data(c);
    }
  }
};

RelaxedBodyHash::RelaxedBodyHash() : state_(std::make_unique<State>()) {}
RelaxedBodyHash::~RelaxedBodyHash() = default;

void RelaxedBodyHash::update(std::string_view bytes) {
  for (const char c : bytes) state_->take(c);
}

std::string RelaxedBodyHash::finish() {
  State& state = *state_;
  if (state.cr) state.data('\r');
  // RFC 6376 3.4.4: trailing empty lines count for nothing, a last line without CRLF gets one, an
  // empty body stays empty.
  if (state.any) {
    state.put('\r');
    state.put('\n');
  }
  state.flush();
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  EVP_DigestFinal_ex(state.context, reinterpret_cast<unsigned char*>(digest.data()), &size);
  digest.resize(size);
  return digest;
}

}  // namespace dkim
