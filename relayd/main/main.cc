// relayd: the program. Options, configuration, then the daemon.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "core/base/log.h"
#include "core/base/log_writer.h"
#include "relayd/main/configuration.h"
#include "relayd/main/daemon.h"

int main(int argc, char** argv) {
  CLI::App app{"relayd: an authenticated SMTP connector between mail servers and a help desk"};
  std::string path;
  bool check_only = false;
  bool print_reference = false;
  app.add_option("--config", path, "relayd.toml");
  app.add_flag("--check-config", check_only, "say every mistake with line and key, then exit");
  app.add_flag("--print-reference", print_reference, "print docs/configuration.md");
  app.set_version_flag("--version", std::string("relayd ") + RELAYD_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (print_reference) {
    std::fputs(configuration::reference().c_str(), stdout);
    return 0;
  }
  if (path.empty()) {
    std::fputs("relayd: which configuration? relayd --config FILE\n", stderr);
    return 2;
  }
  auto loaded = configuration::load(path);
  for (const auto& problem : loaded.problems) {
    std::fprintf(stderr, "%s\n", problem.str().c_str());
  }
  if (!loaded.problems.empty()) return 1;
  if (check_only) {
    std::printf("%s: good\n", path.c_str());
    return 0;
  }
  const auto& log = loaded.configuration.log;
  base::log_configure(2, log.format, log.level);
  const base::LogWriter log_writer(2);
  try {
    relayd::Daemon daemon(std::move(loaded.configuration), path);
    daemon.run();
  } catch (const std::exception& error) {
    base::log_error("cannot start", {{"reason", error.what()}});
    return 1;
  }
  base::log_info("stopped");
  return 0;
}
