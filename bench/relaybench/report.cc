#include "relaybench/report.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace relaybench {
namespace {

struct Quantile {
  const char* name;
  double share;
};
constexpr std::array<Quantile, 4> kQuantiles = {
    {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}}};

__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...) {
  std::array<char, 512> line{};
  va_list arguments;
  va_start(arguments, pattern);
  const int size = std::vsnprintf(line.data(), line.size(), pattern, arguments);
  va_end(arguments);
  return size < 0 ? "" : std::string(line.data());
}

double seconds_of(const Tally& tally) {
  return static_cast<double>(tally.ended_us - tally.started_us) / 1e6;
}

double per_second(std::uint64_t count, const Tally& tally) {
  const double seconds = seconds_of(tally);
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

const char* name_of(smtp::ClientTls tls) {
  if (tls == smtp::ClientTls::kStartTls) return "STARTTLS";
  return tls == smtp::ClientTls::kImplicit ? "TLS" : "plain";
}

std::string phase_row(std::string_view name, const Histogram& histogram) {
  std::string row = format("%-10s %10llu", std::string(name).c_str(),
                           static_cast<unsigned long long>(histogram.count()));
  for (const Quantile& q : kQuantiles) {
    row += format(" %9s", format_ms(histogram.percentile_us(q.share)).c_str());
  }
  return row + format(" %9s\n", format_ms(histogram.max_us()).c_str());
}

}  // namespace

std::string format_ms(std::uint64_t us) {
  const double ms = static_cast<double>(us) / 1000;
  return format(us < 10'000 ? "%.3f" : us < 1'000'000 ? "%.1f" : "%.0f", ms);
}

std::string progress_line(const Tally& tally, std::uint64_t now_us, std::size_t sessions) {
  return format(
      "%5.0f s %9llu messages/s   p99 %s ms   accepted %llu   failed %llu   sessions %zu\n",
      static_cast<double>(now_us - tally.started_us) / 1e6,
      static_cast<unsigned long long>(tally.second.count()),
      format_ms(tally.second.percentile_us(0.99)).c_str(),
      static_cast<unsigned long long>(tally.accepted),
      static_cast<unsigned long long>(tally.failed), sessions);
}

std::string table_report(const SendOptions& options, const Tally& tally) {
  const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::string out = options.to + ": " + name_of(options.tls) +
                    (options.username.empty() ? "" : ", AUTH") +
                    (options.bdat && !tally.chunking_missing ? ", BDAT, " : ", DATA, ") +
                    std::to_string(options.sessions) + " sessions, " +
                    (options.folder.empty() ? options.sizes : options.folder) + "\n\n";
  out += format("%-12s %10llu   %.1f messages/s   %.2f MB/s   in %.2f s\n", "accepted",
                number(tally.accepted), per_second(tally.accepted, tally),
                per_second(tally.octets, tally) / 1e6, seconds_of(tally));
  out += format("%-12s %10llu\n", "failed", number(tally.failed));
  out += format("%-12s %10llu   and %llu that failed\n\n", "connections", number(tally.connections),
                number(tally.connections_failed));
  out += format("%-10s %10s", "ms", "count");
  for (const Quantile& q : kQuantiles) out += format(" %9s", q.name);
  out += format(" %9s\n", "max");
  for (std::size_t i = 0; i < kPhases; ++i) {
    if (tally.phases[i].count() > 0) out += phase_row(kPhaseNames[i], tally.phases[i]);
  }
  if (!tally.errors.empty()) out += "\nerrors\n";
  for (const auto& [what, row] : tally.errors) {
    out += format("%10llu  ", number(row.count)) + what + ": " + row.example + "\n";
  }
  return out;
}

std::string json_report(const SendOptions& options, const Tally& tally) {
  using Json = nlohmann::ordered_json;
  const auto ms = [](std::uint64_t us) { return static_cast<double>(us) / 1000; };
  Json phases = Json::object();
  for (std::size_t i = 0; i < kPhases; ++i) {
    const Histogram& histogram = tally.phases[i];
    if (histogram.count() == 0) continue;
    Json& phase = phases[std::string(kPhaseNames[i])];
    phase["count"] = histogram.count();
    for (const Quantile& q : kQuantiles) {
      phase[std::string(q.name) + "_ms"] = ms(histogram.percentile_us(q.share));
    }
    phase["max_ms"] = ms(histogram.max_us());
  }
  Json errors = Json::array();
  for (const auto& [what, row] : tally.errors) {
    errors.push_back(
        {{"what", what}, {"code", row.code}, {"count", row.count}, {"example", row.example}});
  }
  Json over_time = Json::array();
  const auto& bins = tally.timeline.bins();
  for (std::size_t i = 0; i < bins.size(); ++i) {
    const Histogram& latency = bins[i].latency;
    over_time.push_back({{"at_ms", ms(i * tally.timeline.width_us())},
                         {"accepted", latency.count()},
                         {"failed", bins[i].failed},
                         {"p50_ms", ms(latency.percentile_us(0.5))},
                         {"p99_ms", ms(latency.percentile_us(0.99))},
                         {"max_ms", ms(latency.max_us())}});
  }
  const Json report = {{"to", options.to},
                       {"tls", name_of(options.tls)},
                       {"auth", !options.username.empty()},
                       {"bdat", options.bdat && !tally.chunking_missing},
                       {"sessions", options.sessions},
                       {"size", options.folder.empty() ? options.sizes : options.folder},
                       {"accepted", tally.accepted},
                       {"failed", tally.failed},
                       {"octets", tally.octets},
                       {"seconds", seconds_of(tally)},
                       {"messages_per_second", per_second(tally.accepted, tally)},
                       {"mb_per_second", per_second(tally.octets, tally) / 1e6},
                       {"connections", tally.connections},
                       {"connections_failed", tally.connections_failed},
                       {"phases", phases},
                       {"errors", errors},
                       {"over_time", over_time}};
  return report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace relaybench
