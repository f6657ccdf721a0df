#include "policy/sent_tag.h"

#include "certs/digest.h"
#include "core/base/bytes.h"

namespace policy {
namespace {

constexpr std::string_view kPrefix = "relayd.";
constexpr std::size_t kIdOctets = 26;
constexpr std::size_t kCheckOctets = 12;  // 96 bits

}  // namespace

std::string make_sent_tag(std::string_view key, std::string_view tenant, const base::Id& id) {
  std::string said;
  said.reserve(kPrefix.size() + kIdOctets + 1 + 2 * kCheckOctets);
  said.append(tenant).append("\n").append(id.key());
  const std::string digest = certs::hmac_sha256(key, said);
  said = kPrefix;
  said.append(id.text()).append(".");
  base::append_hex(said, std::string_view(digest).substr(0, kCheckOctets));
  return said;
}

std::optional<base::Id> read_sent_tag(std::string_view key, std::string_view tenant,
                                      std::string_view envid) {
  if (!base::istarts_with(envid, kPrefix)) return std::nullopt;
  const auto id = base::Id::parse(envid.substr(kPrefix.size(), kIdOctets));
  // Servers on the way keep the letters' case, but need not.
  if (!id || !base::constant_time_equal(base::ascii_lower(make_sent_tag(key, tenant, *id)),
                                        base::ascii_lower(envid))) {
    return std::nullopt;
  }
  return id;
}

}  // namespace policy
