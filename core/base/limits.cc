#include "core/base/limits.h"

namespace base {

const std::vector<LimitRow>& limit_table() {
#define RELAYD_LIMIT_ROW(name, unit, value, why) {#name, Unit::unit, value, why, &Limits::name},
  static const std::vector<LimitRow> table = {RELAYD_LIMITS(RELAYD_LIMIT_ROW)};
#undef RELAYD_LIMIT_ROW
  return table;
}

}  // namespace base
