#include "relayd/main/relayctl_queue.h"

#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "queue/content.h"
#include "relayd/main/relayctl_files.h"
#include "relayd/main/relayctl_print.h"

namespace relayctl {
namespace {

using nlohmann::json;
using Query = std::vector<std::pair<std::string, std::string>>;

struct Values {
  std::vector<std::string> ids;
  std::string tenant, domain, destination, state, older_than, newer_than, sender, recipient;
  std::string reason, to;
  unsigned limit = 0;
  bool yes = false;
};

void show(const Context& context, const json& answer, const std::function<void()>& for_people) {
  if (!context.json) return for_people();
  std::cout << answer.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
}

void add_filters(CLI::App& command, Values& v) {
  command.add_option("--tenant", v.tenant);
  command.add_option("--domain", v.domain, "the support address's domain");
  command.add_option("--destination", v.destination, "as in smarthost:acme.example");
  command.add_option("--state", v.state, "waiting or held");
  command.add_option("--older-than", v.older_than, "age, as in 4h");
  command.add_option("--newer-than", v.newer_than, "age, as in 30m");
  command.add_option("--sender", v.sender, "the envelope's sender, exactly");
  command.add_option("--recipient", v.recipient, "a recipient of the envelope, exactly");
}

Query filters(const Values& v) {
  Query query;
  for (const auto& [key, value] : {std::pair{"tenant", v.tenant},
                                   {"domain", v.domain},
                                   {"destination", v.destination},
                                   {"state", v.state},
                                   {"older-than", v.older_than},
                                   {"newer-than", v.newer_than},
                                   {"sender", v.sender},
                                   {"recipient", v.recipient}}) {
    if (!value.empty()) query.emplace_back(key, value);
  }
  return query;
}

void list(Context& c, const Values& v) {
  Query query = filters(v);
  if (v.limit > 0) query.emplace_back("limit", std::to_string(v.limit));
  const json answer = c.client.get({"v1", "queue"}, query);
  show(c, answer, [&] {
    print_table(answer.at("messages"), {"id", "state", "destination", "attempts", "next_attempt",
                                        "mail_from", "last_reply"});
    std::cout << answer.at("total") << " in all\n";
  });
}

// ---- Orders -------------------------------------------------------------------------------------

void order_ids(Context& c, const std::string& order, const Values& v) {
  json done = json::array();
  for (const std::string& id : v.ids) {
    if (order == "remove") {
      done.push_back(c.client.remove({"v1", "queue", id}));
      continue;
    }
    Query query;
    if (!v.reason.empty()) query.emplace_back("reason", v.reason);
    done.push_back(c.client.post({"v1", "queue", id, order}, json::object(), query));
  }
  show(c, {{"messages", std::move(done)}}, [] { std::cout << "done\n"; });
}

void order_many(Context& c, const std::string& order, const Values& v) {
  Query query = filters(v);
  json answer = c.client.post({"v1", "queue", order}, json::object(), query);
  const std::string count = answer.at("count").dump();
  if (!c.json) std::cout << count << " deliveries match\n";
  if (!v.yes) {
    show(c, answer, [&] { std::cout << "nothing is done; add --yes to " << order << " them\n"; });
    return;
  }
  query.emplace_back("yes", "true");
  if (!v.reason.empty()) query.emplace_back("reason", v.reason);
  answer = c.client.post({"v1", "queue", order}, json::object(), query);
  show(c, answer, [&] { std::cout << answer.at("done") << " done\n"; });
}

void order(Context& c, const std::string& name, const Values& v) {
  const bool filtered = !filters(v).empty();
  if (filtered == !v.ids.empty()) {
    throw Failure("queue " + name + ": give either ids or filters");
  }
  if (filtered) {
    order_many(c, name, v);
  } else {
    order_ids(c, name, v);
  }
}

// ---- fsck ---------------------------------------------------------------------------------------

void fsck(Context& c) {
  constexpr auto kAskAgain = std::chrono::milliseconds(200);
  const bool tell = !c.json && isatty(STDERR_FILENO) != 0;
  json state = c.client.post({"v1", "queue", "fsck"});
  for (int asked = 0; state.at("report").is_null(); ++asked) {
    if (!c.json && (tell || asked % 25 == 24)) {
      std::cerr << (tell ? "\r" : "") << state.at("looked_at") << " of about " << state.at("total")
                << " messages" << (tell ? " " : "\n") << std::flush;
    }
    std::this_thread::sleep_for(kAskAgain);
    state = c.client.get({"v1", "queue", "fsck"});
  }
  if (tell) std::cerr << "\n";
  const json& report = state.at("report");
  show(c, report, [&] {
    if (!report.at("findings").empty())
      print_table(report.at("findings"), {"what", "id", "problem"});
    std::cout << report.at("messages") << " messages, " << report.at("deliveries")
              << " deliveries, " << report.at("octets") << " octets in " << report.at("segments")
              << " segments looked at; " << report.at("damaged") << " things are wrong\n";
  });
  if (report.at("damaged") != 0) {
    throw Failure("the queue is damaged: " + report.at("damaged").dump() +
                  " things are wrong; see the operator's guide on fsck and salvage");
  }
  if (!report.at("complete").get<bool>()) throw Failure("the check was ended before its end");
}

// ---- export -------------------------------------------------------------------------------------

// What is known of the message. A message whose octets are not what they were is exported all the
// same, "damaged" says so.
json export_message(Context& c, const std::string& id, const std::string& to) {
  json known = c.client.get({"v1", "queue", id});
  MessageFiles files(to, known.at("id").get<std::string>());
  std::uint64_t at = 0;
  std::uint32_t checksum = 0;
  std::uint64_t size = 0;
  do {
    const json slice =
        c.client.get({"v1", "queue", id, "content"}, {{"offset", std::to_string(at)}});
    const auto octets = base::base64_decode(slice.at("octets").get<std::string>());
    size = slice.at("size").get<std::uint64_t>();
    if (!octets || (octets->empty() && at < size)) throw Failure(id + ": relayd sent no octets");
    files.append(*octets);
    checksum = queue::checksum(checksum, *octets);
    at += octets->size();
  } while (at < size);
  known["damaged"] = checksum != known.at("checksum").get<std::uint32_t>();
  files.finish(known);
  return known;
}

// The ids that the filters select; a message with several deliveries once.
std::vector<std::string> selected_ids(Context& c, const Values& v) {
  if (!v.ids.empty()) return v.ids;
  const json answer = c.client.get({"v1", "queue"}, filters(v));
  std::vector<std::string> ids;
  for (const json& row : answer.at("messages")) {
    auto id = row.at("id").get<std::string>();
    if (ids.empty() || ids.back() != id) ids.push_back(std::move(id));
  }
  if (answer.at("total") != answer.at("messages").size()) {
    throw Failure(answer.at("total").dump() + " deliveries match, a list shows " +
                  std::to_string(answer.at("messages").size()) +
                  " at most (limits.queue_list); narrow the filter");
  }
  return ids;
}

void export_messages(Context& c, const Values& v) {
  const std::vector<std::string> ids = selected_ids(c, v);
  make_directory(v.to);
  json done = json::array();
  json failed = json::array();
  for (const std::string& id : ids) {
    try {
      const json known = export_message(c, id, v.to);
      done.push_back({{"id", known.at("id")}, {"damaged", known.at("damaged")}});
      if (known.at("damaged").get<bool>()) {
        failed.push_back({{"id", id}, {"problem", "its octets are not those that came in"}});
      }
    } catch (const Failure& failure) {
      failed.push_back({{"id", id}, {"problem", failure.what()}});
    }
  }
  show(c, {{"messages", done}, {"failed", failed}}, [&] {
    if (!failed.empty()) print_table(failed, {"id", "problem"});
    std::cout << done.size() << " written to " << v.to << "\n";
  });
  if (!failed.empty())
    throw Failure(std::to_string(failed.size()) + " not exported as they should");
}

// ---- Arguments ----------------------------------------------------------------------------------

using Run = std::function<void(Context&, Values&)>;

void verb(CLI::App& parent, Action& chosen, const std::string& name, const std::string& help,
          const Run& run, const std::function<void(CLI::App&, Values&)>& options) {
  CLI::App* command = parent.add_subcommand(name, help);
  auto values = std::make_shared<Values>();
  options(*command, *values);
  command->callback([&chosen, values, run] {
    chosen = [values, run](Context& context) { run(context, *values); };
  });
}

void add_order(CLI::App& queue, Action& chosen, const std::string& name, const std::string& help) {
  verb(
      queue, chosen, name, help, [name](Context& c, Values& v) { order(c, name, v); },
      [name](CLI::App& command, Values& v) {
        command.add_option("ID", v.ids, "or filters");
        add_filters(command, v);
        command.add_flag("--yes", v.yes, "with filters: do it, after the count");
        if (name == "hold") command.add_option("--reason", v.reason, "for whoever looks later");
      });
}

}  // namespace

void add_queue_verbs(CLI::App& app, Action& chosen) {
  CLI::App& queue = *app.add_subcommand("queue", "messages that wait");
  queue.require_subcommand(1);
  verb(queue, chosen, "list", "what waits, for what and until when", list,
       [](CLI::App& command, Values& v) {
         add_filters(command, v);
         command.add_option("--limit", v.limit, "rows at most");
       });
  verb(
      queue, chosen, "show", "all that is known of a message",
      [](Context& c, Values& v) {
        const json answer = c.client.get({"v1", "queue", v.ids.front()});
        show(c, answer, [&] { print_record(answer); });
      },
      [](CLI::App& command, Values& v) {
        command.add_option("ID", v.ids)->required()->expected(1);
      });
  add_order(queue, chosen, "retry", "try again at once");
  add_order(queue, chosen, "hold", "keep, but do not try");
  add_order(queue, chosen, "release", "try what was held");
  add_order(queue, chosen, "remove", "throw away; nobody is told");
  verb(
      queue, chosen, "fsck", "look at every reference and every checksum",
      [](Context& c, Values&) { fsck(c); }, [](CLI::App&, Values&) {});
  verb(queue, chosen, "export", "write messages as ID.eml and ID.json", export_messages,
       [](CLI::App& command, Values& v) {
         command.add_option("ID", v.ids, "or filters; neither: all");
         add_filters(command, v);
         command.add_option("--to", v.to, "directory; made where it is missing")->required();
       });
}

}  // namespace relayctl
