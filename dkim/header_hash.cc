#include "dkim/header_hash.h"

#include "core/base/bytes.h"

namespace dkim {

FieldIndex::FieldIndex(const mail::Headers& headers) {
  for (const mail::HeaderField& field : headers.fields()) {
    fields_[base::ascii_lower(field.name)].push_back(&field);
  }
}

std::string FieldIndex::hash(const std::vector<std::string>& names,
                             const mail::HeaderField& signature, Canonical method) const {
  std::string input;
  std::unordered_map<std::string_view, std::size_t> used;  // fields of a name, from the bottom
  for (const std::string& name : names) {
    const auto there = fields_.find(name);
    if (there == fields_.end()) continue;
    const auto& fields = there->second;
    std::size_t& taken = used[name];
    if (taken < fields.size() && fields[fields.size() - 1 - taken] == &signature) ++taken;
    if (taken == fields.size()) continue;
    input += canonical_field(*fields[fields.size() - 1 - taken], method) + "\r\n";
    ++taken;
  }
  return sha256(input + canonical_unsigned_field(signature, method));
}

}  // namespace dkim
