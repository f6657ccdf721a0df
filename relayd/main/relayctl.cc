// relayctl: everything an operator does, over the admin API of a running relayd.
// Exit codes: 0 done, 1 refused or failed (one line on stderr), 2 usage.
#include <curl/curl.h>
#include <CLI/CLI.hpp>

#include <iostream>

#include "relayd/main/relayctl_apply.h"
#include "relayd/main/relayctl_check.h"
#include "relayd/main/relayctl_client.h"
#include "relayd/main/relayctl_print.h"
#include "relayd/main/relayctl_queue.h"
#include "relayd/main/relayctl_verbs.h"

namespace {

constexpr int kUsage = 2;

struct Options {
  std::string socket, url, token_file, configuration = "/etc/relayd/relayd.toml";
  bool json = false;
};

relayctl::Target target_of(const Options& options) {
  relayctl::Target target;
  if (!options.url.empty()) {
    target.url = options.url;
    if (!options.token_file.empty()) target.token = relayctl::read_secret(options.token_file);
  } else if (!options.socket.empty()) {
    target.socket = options.socket;
  } else {
    target.socket = relayctl::socket_of_configuration(options.configuration);
  }
  return target;
}

int run(int argc, char** argv) {
  Options options;
  relayctl::Action chosen;
  std::function<void()> check;  // needs no running relayd
  CLI::App app("Operates relayd over its admin API.", "relayctl");
  app.set_version_flag("--version", RELAYD_VERSION);
  app.add_option("--socket", options.socket, "admin.socket of the relayd to talk to");
  app.add_option("--url", options.url, "its URL instead, as in http://127.0.0.1:8025");
  app.add_option("--token-file", options.token_file, "the bearer token for --url");
  app.add_option("--config", options.configuration, "relayd.toml that says where the socket is")
      ->capture_default_str();
  app.add_flag("--json", options.json, "JSON for scripts");
  app.require_subcommand(1);
  app.fallthrough();  // the options above may stand behind a verb, too
  relayctl::add_verbs(app, chosen);
  relayctl::add_check(app, options.json, check);
  relayctl::add_salvage(app, options.json, check);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::cerr << "relayctl: " << error.what() << "; see relayctl --help\n";
    return kUsage;
  }
  if (!options.url.empty() && !options.socket.empty()) {
    std::cerr << "relayctl: --socket and --url exclude each other\n";
    return kUsage;
  }
  try {
    if (check) {
      check();
      return 0;
    }
    relayctl::Client client(target_of(options));
    relayctl::Context context{client, options.json};
    chosen(context);
  } catch (const std::exception& failure) {
    std::cerr << "relayctl: " << relayctl::printable(failure.what()) << "\n";
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  const int code = run(argc, argv);
  curl_global_cleanup();
  return code;
}
