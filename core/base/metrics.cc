#include "core/base/metrics.h"

#include <set>

namespace base {

Metric& Metrics::counter(std::string_view name, std::string_view help, std::string_view labels) {
  return find_or_add(name, help, labels, true);
}

Metric& Metrics::gauge(std::string_view name, std::string_view help, std::string_view labels) {
  return find_or_add(name, help, labels, false);
}

Metric& Metrics::find_or_add(std::string_view name, std::string_view help, std::string_view labels,
                             bool is_counter) {
  const std::lock_guard lock(mutex_);
  for (Row& row : rows_) {
    if (row.name == name && row.labels == labels) return row.metric;
  }
  return rows_.emplace_back(name, help, labels, is_counter).metric;
}

std::string Metrics::expose() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  std::set<std::string_view> done;
  for (const Row& head : rows_) {
    if (!done.insert(head.name).second) continue;
    out += "# HELP " + head.name + ' ' + head.help + '\n';
    out += "# TYPE " + head.name + (head.is_counter ? " counter\n" : " gauge\n");
    for (const Row& row : rows_) {
      if (row.name != head.name) continue;
      out += row.name;
      if (!row.labels.empty()) out += '{' + row.labels + '}';
      out += ' ' + std::to_string(row.metric.value()) + '\n';
    }
  }
  return out;
}

}  // namespace base
