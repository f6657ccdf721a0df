// `relayctl queue salvage`: messages out of a queue that relayd does not open any more.
//
// LMDB believes what stands in its pages, so a damaged database can end the process that reads it.
// The reading is done by a child, which tells through a pipe what it is at; the parent says what
// became of it.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>

#include "queue/salvage.h"
#include "relayd/admin/queue_json.h"
#include "relayd/main/relayctl_files.h"
#include "relayd/main/relayctl_queue.h"

namespace relayctl {
namespace {

using nlohmann::json;

constexpr std::size_t kReadSize = 256 * 1024;

struct SalvageValues {
  std::string state_dir, to;
};

// A line of the child's: a JSON object.
void say(int fd, const json& line) {
  const std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = write(fd, rest.data(), rest.size());
    if (n < 0) _exit(1);  // nobody listens any more
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Throws Failure where the target cannot be written; "" or why the octets are not whole.
std::string write_message(const queue::Salvaged& found, const std::string& to) {
  json known = admin::whole_json(found.message, found.deliveries);
  MessageFiles files(to, found.message.id.str());
  std::string buffer(kReadSize, '\0');
  for (std::uint64_t at = 0; at < found.content->size();) {
    const auto n = found.content->read(at, buffer);
    if (!n) return n.message();
    files.append(std::string_view(buffer).substr(0, *n));
    at += *n;
  }
  known["damaged"] = false;
  files.finish(known);
  return "";
}

[[noreturn]] void read_all(const SalvageValues& values, int fd) {
  queue::SalvageCalls calls;
  std::string failed;
  calls.looking_at = [fd](const std::string& id) { say(fd, {{"at", id}}); };
  calls.skipped = [fd](const std::string& id, const std::string& why) {
    say(fd, {{"skipped", id}, {"reason", why}});
  };
  calls.message = [&](const queue::Salvaged& found) {
    const std::string id = found.message.id.str();
    try {
      const std::string why = write_message(found, values.to);
      if (why.empty()) {
        say(fd, {{"saved", id}});
      } else {
        calls.skipped(id, why);
      }
    } catch (const Failure& failure) {
      failed = failure.what();
    }
    return failed.empty();
  };
  const base::Status done = queue::salvage(values.state_dir + "/queue", calls);
  if (!done) failed = done.message();
  say(fd, {{"end", failed}});
  _exit(0);
}

struct Outcome {
  json saved = json::array(), skipped = json::array();
  std::string at;     // the id that was looked at last
  std::string error;  // "" where all of the database was read
  bool ended = false;
};

void take_line(const std::string& text, Outcome& outcome) {
  const json line = json::parse(text, nullptr, false);
  if (!line.is_object()) return;
  if (line.contains("at")) outcome.at = line["at"].get<std::string>();
  if (line.contains("saved")) outcome.saved.push_back(line["saved"]);
  if (line.contains("skipped")) {
    outcome.skipped.push_back({{"id", line["skipped"]}, {"reason", line["reason"]}});
  }
  if (!line.contains("end")) return;
  outcome.ended = true;
  outcome.error = line["end"].get<std::string>();
}

Outcome listen_to_child(int fd) {
  Outcome outcome;
  std::string pending;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = read(fd, buffer.data(), buffer.size())) > 0;) {
    pending.append(buffer.data(), static_cast<std::size_t>(n));
    for (std::size_t end = 0; (end = pending.find('\n')) != std::string::npos;) {
      take_line(pending.substr(0, end), outcome);
      pending.erase(0, end + 1);
    }
  }
  return outcome;
}

Outcome run_child(const SalvageValues& values) {
  int ends[2] = {-1, -1};
  if (pipe(ends) != 0) throw Failure(std::string("cannot make a pipe: ") + std::strerror(errno));
  std::cout << std::flush;
  const pid_t child = fork();
  if (child < 0) throw Failure(std::string("cannot fork: ") + std::strerror(errno));
  if (child == 0) {
    close(ends[0]);
    read_all(values, ends[1]);
  }
  close(ends[1]);
  Outcome outcome = listen_to_child(ends[0]);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!outcome.ended) {
    outcome.error = "the database is damaged: reading it broke off" +
                    (outcome.at.empty() ? std::string(" at once") : " at or behind " + outcome.at) +
                    "; what lies behind was not read";
  }
  return outcome;
}

void salvage(const SalvageValues& values, bool as_json) {
  struct stat status {};
  const std::string database = values.state_dir + "/queue/data.mdb";
  if (stat(database.c_str(), &status) != 0) {
    throw Failure("there is no queue: " + database + ": " + std::strerror(errno));
  }
  make_directory(values.to);
  const Outcome outcome = run_child(values);
  if (as_json) {
    const json answer = {
        {"saved", outcome.saved}, {"skipped", outcome.skipped}, {"error", outcome.error}};
    std::cout << answer.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else {
    for (const json& skipped : outcome.skipped) {
      std::cout << "skipped " << skipped["id"].get<std::string>() << ": "
                << skipped["reason"].get<std::string>() << "\n";
    }
    std::cout << outcome.saved.size() << " messages written to " << values.to << ", "
              << outcome.skipped.size() << " skipped\n";
  }
  if (!outcome.error.empty()) throw Failure(outcome.error);
  if (!outcome.skipped.empty()) {
    throw Failure(std::to_string(outcome.skipped.size()) + " messages could not be read");
  }
}

}  // namespace

void add_salvage(CLI::App& app, const bool& json_wanted, std::function<void()>& chosen) {
  CLI::App* command = app.get_subcommand("queue")->add_subcommand(
      "salvage", "without a relayd: what can be read of a damaged queue, as ID.eml and ID.json");
  auto values = std::make_shared<SalvageValues>();
  command->add_option("--state-dir", values->state_dir, "relayd's state_dir")->required();
  command->add_option("--to", values->to, "directory; made where it is missing")->required();
  command->callback([&json_wanted, &chosen, values] {
    chosen = [&json_wanted, values] { salvage(*values, json_wanted); };
  });
}

}  // namespace relayctl
