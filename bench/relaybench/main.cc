// relaybench: the admin's benchmark. Exit codes: 0 done, 1 failed (one line on stderr) or, of
// `check`, something is lost, 2 usage.
#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>

#include "core/base/units.h"
#include "relaybench/check.h"
#include "relaybench/http_sink.h"
#include "relaybench/send.h"
#include "relaybench/sink.h"

namespace {

constexpr int kUsage = 2;

// Options that CLI11 takes as text.
struct SendTexts {
  std::string rate, timeout = "60s", patience = "10s", messages, messages_per_connection;
  bool starttls = false, tls = false;
};

std::uint64_t count_of(const std::string& text, const char* option) {
  if (text.empty()) return 0;
  const auto count = base::parse_count(text);
  if (!count) throw CLI::ValidationError(option, "'" + text + "' is not a number like 20k");
  return static_cast<std::uint64_t>(*count);
}

std::int64_t duration_of(const std::string& text, const char* option) {
  const auto ms = base::parse_duration_ms(text);
  if (!ms) throw CLI::ValidationError(option, "'" + text + "' is not a duration like 30s");
  return *ms;
}

void complete(relaybench::SendOptions& options, const SendTexts& texts) {
  options.messages = count_of(texts.messages, "--messages");
  options.messages_per_connection =
      count_of(texts.messages_per_connection, "--messages-per-connection");
  options.timeout_ms = duration_of(texts.timeout, "--timeout");
  options.patience_ms = duration_of(texts.patience, "--patience");
  std::string rate = texts.rate;
  if (rate.ends_with("/s")) rate.resize(rate.size() - 2);
  options.rate = static_cast<double>(count_of(rate, "--rate"));
  if (texts.starttls) options.tls = smtp::ClientTls::kStartTls;
  if (texts.tls) options.tls = smtp::ClientTls::kImplicit;
  if (options.messages == 0 && options.seconds <= 0) options.seconds = 10;
  if (options.from.empty()) options.from = {"sender@bench.example"};
  if (options.rcpt.empty()) options.rcpt = {"recipient@bench.example"};
  if (options.to.rfind(':') == std::string::npos) {
    throw CLI::ValidationError("--to", "'" + options.to + "' is not HOST:PORT");
  }
}

void add_send(CLI::App& app, relaybench::SendOptions& options, SendTexts& texts) {
  CLI::App& send = *app.add_subcommand("send", "load towards an SMTP server");
  send.add_option("--to", options.to, "HOST:PORT of the server")->required();
  auto* starttls = send.add_flag("--starttls", texts.starttls, "STARTTLS, or no message");
  auto* tls = send.add_flag("--tls", texts.tls, "TLS from the first byte (port 465)");
  tls->excludes(starttls);
  auto* insecure = send.add_flag("--insecure", options.insecure, "take any certificate");
  send.add_option("--ca", options.ca, "PEM file of roots to trust beside the system's")
      ->excludes(insecure);
  auto* user = send.add_option("--user", options.username, "log in with AUTH PLAIN");
  send.add_option("--password-file", options.password_file, "its first line is the password")
      ->needs(user);
  send.add_option("--helo", options.helo, "the name for EHLO")->capture_default_str();
  send.add_flag("--bdat", options.bdat, "BDAT where it is offered, in place of DATA");
  send.add_option("--sessions", options.sessions, "at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  send.add_option("--messages", texts.messages, "in all; 20k is 20000");
  send.add_option("--seconds", options.seconds, "how long (default 10, without --messages)")
      ->check(CLI::Range(0.0, 1e9));
  send.add_option("--messages-per-connection", texts.messages_per_connection,
                  "then QUIT and connect again (default: no bound)");
  send.add_option("--rate", texts.rate, "messages a second, 500 or 500/s (default: flat out)");
  send.add_option("--size", options.sizes, "of a message: 4KiB, or a mix 4KiB:80,64KiB:15,1MiB:5")
      ->capture_default_str();
  send.add_option("--folder", options.folder, "send the .eml files of this folder, in turn");
  send.add_option("--from", options.from, "sender; several are used in turn");
  send.add_option("--rcpt", options.rcpt, "recipient; several are used in turn");
  send.add_option("--timeout", texts.timeout, "so long may the server be silent")
      ->capture_default_str();
  send.add_option("--patience", texts.patience,
                  "without --seconds: a session ends after so long without a connection")
      ->capture_default_str();
  send.add_option("--ids", options.ids, "write the ids of accepted messages to this file");
  send.add_option("--plot", options.plot, "write latency over time to this SVG file");
  send.add_flag("--json", options.json, "the report as JSON");
  send.add_flag("--quiet", options.quiet, "no line a second");
}

void add_sink(CLI::App& app, relaybench::SinkOptions& options, std::string& messages) {
  CLI::App& sink = *app.add_subcommand("sink", "an SMTP server that swallows");
  sink.add_option("--listen", options.listen, "ADDRESS:PORT; several times for several")
      ->required();
  sink.add_option("--tls", options.tls, "none, starttls or implicit")
      ->transform(CLI::CheckedTransformer(std::map<std::string, relaybench::SinkTls>{
          {"none", relaybench::SinkTls::kNone},
          {"starttls", relaybench::SinkTls::kStartTls},
          {"implicit", relaybench::SinkTls::kImplicit}}));
  sink.add_option("--certificate", options.certificate, "PEM file (default: one made in memory)");
  sink.add_option("--key", options.key, "PEM file");
  sink.add_option("--hostname", options.hostname, "in the greeting")->capture_default_str();
  sink.add_flag("--auth-required", options.auth_required, "530 to MAIL before AUTH");
  sink.add_option("--messages", messages, "end after so many");
  sink.add_option("--ids", options.ids, "write the ids of what was taken to this file");
  sink.add_option("--misbehave", options.misbehave, "what to do wrong, see below");
  sink.add_option("--misbehave-file", options.misbehave_file,
                  "a file of the same, one a line; read anew on SIGHUP");
  sink.add_flag("--json", options.json, "the counts as JSON");
  sink.footer(relaybench::describe(relaybench::kSinkRules));
}

void add_http_sink(CLI::App& app, relaybench::HttpSinkOptions& options, std::string& requests) {
  CLI::App& sink = *app.add_subcommand("http-sink", "a back end that swallows tickets");
  sink.add_option("--listen", options.listen, "ADDRESS:PORT")->capture_default_str();
  sink.add_option("--secret", options.secrets,
                  "whsec_...; then requests with a wrong signature get 401; several are possible");
  sink.add_option("--requests", requests, "end after so many were taken");
  sink.add_option("--ids", options.ids, "write the ids of what was taken to this file");
  sink.add_option("--misbehave", options.misbehave, "what to do wrong, see below");
  sink.add_option("--misbehave-file", options.misbehave_file,
                  "a file of the same, one a line; read anew on SIGHUP");
  sink.add_flag("--json", options.json, "the counts as JSON");
  sink.footer(relaybench::describe(relaybench::kHttpRules));
}

void add_check(CLI::App& app, relaybench::CheckOptions& options) {
  CLI::App& check = *app.add_subcommand("check", "what was sent against what was received");
  check.add_option("sent", options.sent, "ids of `send`")->required();
  check.add_option("received", options.received, "ids of `sink` or `http-sink`")->required();
  check.add_flag("--list", options.list, "every id, not only the first ten");
  check.add_flag("--json", options.json, "counts as JSON");
}

int run(int argc, char** argv) {
  CLI::App app("Measures mail servers, relayd among them.", "relaybench");
  app.set_version_flag("--version", RELAYD_VERSION);
  app.require_subcommand(1);
  relaybench::SendOptions send;
  SendTexts texts;
  relaybench::SinkOptions sink;
  relaybench::HttpSinkOptions http_sink;
  relaybench::CheckOptions check;
  std::string messages;
  std::string requests;
  add_send(app, send, texts);
  add_sink(app, sink, messages);
  add_http_sink(app, http_sink, requests);
  add_check(app, check);
  try {
    app.parse(argc, argv);
    if (app.got_subcommand("send")) complete(send, texts);
    sink.messages = count_of(messages, "--messages");
    http_sink.requests = count_of(requests, "--requests");
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::cerr << "relaybench: " << error.what() << "; see relaybench --help\n";
    return kUsage;
  }
  try {
    if (app.got_subcommand("send")) return relaybench::run_send(send);
    if (app.got_subcommand("sink")) return relaybench::run_sink(sink);
    if (app.got_subcommand("http-sink")) return relaybench::run_http_sink(http_sink);
    return relaybench::run_check(check);
  } catch (const std::exception& failure) {
    std::cerr << "relaybench: " << failure.what() << "\n";
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) { return run(argc, argv); }
