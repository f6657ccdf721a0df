#include "dkim/key_record.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string_view>

#include "core/base/bytes.h"
#include "dkim/tag_list.h"

namespace dkim {
namespace {

constexpr int kRsaBitsMin = 1024;  // RFC 8301 3.2

KeyRecord without_key(Result result, std::string reason) {
  KeyRecord record;
  record.result = result;
  record.reason = std::move(reason);
  return record;
}

// Is it a key that only its length makes useless (RFC 8301 3.2)?
bool is_short(const TagList& tags) {
  const std::string* p = tags.find("p");
  const auto der = p == nullptr ? std::nullopt : decode_folded_base64(*p);
  if (!der) return false;
  const auto* at = reinterpret_cast<const unsigned char*>(der->data());
  const auto size = static_cast<long>(der->size());
  EVP_PKEY* key = d2i_PUBKEY(nullptr, &at, size);
  if (key == nullptr) {
    at = reinterpret_cast<const unsigned char*>(der->data());
    key = d2i_PublicKey(EVP_PKEY_RSA, nullptr, &at, size);
  }
  const bool result = key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
                      EVP_PKEY_get_bits(key) < kRsaBitsMin;
  EVP_PKEY_free(key);
  return result;
}

bool lists(const std::string* list, std::string_view wanted) {
  if (list == nullptr) return false;
  for (const std::string_view part : base::parts(*list, ':')) {
    if (base::iequals(base::trim(part), wanted)) return true;
  }
  return false;
}

}  // namespace

KeyRecord read_key_record(const dns::Answer* answer) {
  if (answer == nullptr || answer->temporary()) {
    return without_key(Result::kTempError, "DNS did not answer for the key");
  }
  if (answer->status != dns::Status::kOk || answer->records.empty()) {
    return without_key(Result::kPermError, "there is no key in DNS");
  }
  const std::string* text = only_key_record(*answer);
  if (text == nullptr) return without_key(Result::kPermError, "there are several keys in DNS");
  auto key = PublicKey::parse(*text);
  const auto tags = TagList::parse(*text);
  if (!key.ok() || !tags.ok()) {
    const bool weak = tags.ok() && is_short(*tags);
    return without_key(weak ? Result::kPolicy : Result::kPermError,
                       key.ok() ? tags.message() : key.message());
  }
  KeyRecord record;
  record.key = key.take();
  record.same_domain = lists(tags->find("t"), "s");
  record.for_library = "v=DKIM1; k=";
  record.for_library += record.key->algorithm() == Algorithm::kRsaSha256 ? "rsa" : "ed25519";
  record.for_library += "; p=" + without_blanks(*tags->find("p"));
  return record;
}

}  // namespace dkim
