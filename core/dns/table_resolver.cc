#include <utility>

#include "core/dns/resolver.h"

namespace dns {

void TableResolver::query(const Question& question, OnAnswer on_answer) {
  ++queries_;
  const Answer* known = table_.find(question);
  Answer answer = known != nullptr
                      ? *known
                      : Answer{.status = Status::kNxDomain, .records = {}, .secure = false};
  loop_.defer([question, answer = std::move(answer), on_answer = std::move(on_answer)] {
    on_answer(question, answer);
  });
}

}  // namespace dns
