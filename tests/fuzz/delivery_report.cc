// Delivery reports as others wrote them: what is read out of one is printable, bounded UTF-8 with a
// known action.
#include "core/base/bytes.h"
#include "core/mail/dsn.h"
#include "fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)mail::decode_orcpt(text);
  (void)mail::decode_xtext(text);
  const std::size_t end = mail::header_section_end(text);
  if (end == std::string::npos) return 0;
  const auto headers = mail::Headers::scan(std::string_view(text).substr(0, end), 100);
  if (!headers) return 0;
  const auto report =
      mail::read_delivery_report(*headers, std::string_view(text).substr(std::min(end + 2, size)));
  if (!report) return 0;
  fuzz::require(!report->recipients.empty());
  for (const auto& one : report->recipients) {
    for (const std::string& value : {one.final_address, one.original, one.diagnostic, one.remote}) {
      fuzz::require(value.size() <= 4000 && base::is_utf8(value));
      fuzz::require(base::printable(value, value.size()) == value);
    }
    fuzz::require(!one.action.empty() && !one.final_address.empty());
  }
  return 0;
}
