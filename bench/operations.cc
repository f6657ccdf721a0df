#include "operation.h"

#include <iterator>

namespace bench {

Operations all_operations() {
  Operations all;
  for (const auto& list :
       {smtp_operations, mail_operations, spf_operations, dkim_operations, arc_operations,
        queue_operations, policy_operations, dmarc_operations, ticket_operations}) {
    Operations more = list();
    std::move(more.begin(), more.end(), std::back_inserter(all));
  }
  return all;
}

std::string lines(std::size_t octets) {
  std::string text;
  while (text.size() < octets) {
    text += "a line of an ordinary message, words and blanks, and  its end.\r\n";
  }
  require(text.size() == octets, "lines() is given a multiple of 64");
  return text;
}

}  // namespace bench
