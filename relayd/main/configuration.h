// relayd.toml: one schema table gives the parser, the defaults, the error messages and the
// reference page (docs/configuration.md). Pure but for reading the file and looking whether files
// exist.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/base/log.h"
#include "relayd/ingress/settings.h"

namespace configuration {

struct Configuration {
  std::string hostname;
  std::string state_dir;
  std::int64_t loops = 0;  // 0: as many as there are cores
  std::vector<ingress::ListenerOptions> listeners;
  struct {
    std::string certificate, key;
    std::vector<std::string> trust;
  } tls;
  struct {
    std::vector<std::string> servers;
  } dns;
  struct {
    std::string socket = "admin.sock";
    std::string listen, token_file;
  } admin;
  struct {
    std::vector<std::int64_t> retry_ms = {base::kMinute,      5 * base::kMinute, 15 * base::kMinute,
                                          30 * base::kMinute, base::kHour,       2 * base::kHour,
                                          4 * base::kHour};
    std::int64_t expire_ms = 5 * base::kDay;
    std::int64_t trail_ms = 14 * base::kDay;
  } queue;
  struct {
    bool required = true;
  } verification;
  struct {
    std::vector<std::string> marker_headers;
  } outbound;
  policy::JudgementRules judgement;  // spf.engine, dmarc.profile, arc.trusted_sealers
  struct {
    base::LogFormat format = base::LogFormat::kJson;
    base::LogLevel level = base::LogLevel::kInfo;
  } log;
  base::Limits limits;
};

// One mistake: where, which key, and what is expected there.
struct Problem {
  std::string file;
  std::int64_t line = 0;  // 0: not in the file (a key that is missing)
  std::string key;
  std::string text;
  [[nodiscard]] std::string str() const;  // "relayd.toml:12: limits.message_size: ..."
};

struct Loaded {
  Configuration configuration;    // of use only where there are no problems
  std::vector<Problem> problems;  // every mistake, in order of line
};

// Paths in the result are absolute (relative ones are relative to the file).
Loaded load(const std::string& path);
// The same of text; `directory` is where relative paths start.
Loaded parse(std::string_view text, const std::string& file, const std::string& directory);

// docs/configuration.md, made from the schema.
std::string reference();

}  // namespace configuration
