#include "relayd/main/configuration.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "core/net/socket_address.h"
#include "relayd/main/schema.h"

namespace configuration {
namespace {

const Row* find_row(std::string_view key) {
  for (const Row& row : schema()) {
    if (row.key == key) return &row;
  }
  return nullptr;
}

bool is_section(std::string_view key) {
  const std::string prefix = std::string(key) + ".";
  return std::any_of(schema().begin(), schema().end(),
                     [&](const Row& row) { return row.key.starts_with(prefix); });
}

// Levenshtein distance, for "did you mean".
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

std::string unknown_key(std::string_view key) {
  const Row* nearest = nullptr;
  std::size_t least = 4;
  for (const Row& row : schema()) {
    if (const std::size_t d = distance(key, row.key); d < least) {
      least = d;
      nearest = &row;
    }
  }
  std::string text = "there is no such key";
  if (nearest != nullptr) text += "; did you mean " + nearest->key + "?";
  return text;
}

class Reader {
 public:
  Reader(std::string file, std::string directory)
      : file_(std::move(file)), directory_(std::move(directory)) {}

  void read(const toml::table& table) {
    walk(table, "", nullptr);
    check_whole();
    std::stable_sort(loaded_.problems.begin(), loaded_.problems.end(),
                     [](const Problem& a, const Problem& b) { return a.line < b.line; });
  }
  void problem(std::int64_t line, std::string key, std::string text) {
    loaded_.problems.push_back({file_, line, std::move(key), std::move(text)});
  }
  Loaded take() { return std::move(loaded_); }

 private:
  void walk(const toml::table& table, const std::string& prefix,
            ingress::ListenerOptions* listener) {
    for (const auto& [name, node] : table) {
      const std::string key = prefix + std::string(name.str());
      const auto line = static_cast<std::int64_t>(name.source().begin.line);
      if (const Row* row = find_row(key)) {
        Target target{loaded_.configuration, listener, directory_};
        if (auto wrong = row->set(target, node)) problem(line, key, *wrong);
        seen_.insert(key);
      } else if (key == "listener") {
        read_listeners(node, line);
      } else if (is_section(key)) {
        if (node.is_table()) {
          walk(*node.as_table(), key + ".", nullptr);
        } else {
          problem(line, key, "expected a table: [" + key + "]");
        }
      } else {
        problem(line, key, unknown_key(key));
      }
    }
  }

  void read_listeners(const toml::node& node, std::int64_t line) {
    const toml::array* array = node.as_array();
    if (array == nullptr || !array->is_array_of_tables()) {
      problem(line, "listener", "expected one [[listener]] table a listener");
      return;
    }
    for (const toml::node& element : *array) {
      const toml::table& table = *element.as_table();
      const auto at = static_cast<std::int64_t>(table.source().begin.line);
      ingress::ListenerOptions listener;
      walk(table, "listener.", &listener);
      for (const char* required : {"address", "role"}) {
        if (!table.contains(required)) {
          problem(at, std::string("listener.") + required, "is missing; every listener needs it");
        }
      }
      check_listener(listener, at);
      loaded_.configuration.listeners.push_back(std::move(listener));
    }
  }

  void check_listener(const ingress::ListenerOptions& listener, std::int64_t line) {
    const auto address = net::SocketAddress::parse(listener.address);
    if (!address) return;
    const bool no_tls = listener.tls == ingress::ListenerTls::kNone;
    if (no_tls && listener.role == ingress::Role::kSubmission && !address->is_loopback()) {
      problem(line, "listener.tls",
              "expected \"starttls\" or \"implicit\": without TLS nobody can log in here, since a "
              "password is taken in the clear on loopback only");
    }
    for (const auto& other : loaded_.configuration.listeners) {
      if (other.address == listener.address) {
        problem(line, "listener.address", listener.address + " stands twice; each must differ");
      }
    }
    needs_tls_ = needs_tls_ || !no_tls;
  }

  void missing(const std::string& key, const std::string& why) {
    if (!seen_.contains(key)) problem(0, key, "is missing; " + why);
  }

  void check_whole() {
    const Configuration& c = loaded_.configuration;
    missing("hostname", R"(expected a full host name such as "relay.example.net")");
    missing("state_dir", "expected a directory on a local disk");
    if (c.listeners.empty())
      problem(0, "listener", "is missing; expected at least one [[listener]]");
    if (needs_tls_) {
      missing("tls.certificate", "a listener with TLS needs it");
      missing("tls.key", "a listener with TLS needs it");
    }
    if (!c.admin.listen.empty()) {
      missing("admin.token_file", "admin.listen needs it");
      if (!net::SocketAddress::parse(c.admin.listen)) {
        problem(0, "admin.listen", R"(expected an IP address and a port: "127.0.0.1:8025")");
      }
    }
    Configuration& mutable_c = loaded_.configuration;
    if (!seen_.contains("admin.socket")) {
      mutable_c.admin.socket =
          (std::filesystem::path(directory_) / mutable_c.admin.socket).lexically_normal().string();
    }
  }

  const std::string file_;
  const std::string directory_;
  Loaded loaded_;
  std::set<std::string> seen_;
  bool needs_tls_ = false;
};

}  // namespace

std::string Problem::str() const {
  std::string out = file;
  if (line > 0) out += ":" + std::to_string(line);
  return out + ": " + (key.empty() ? "" : key + ": ") + text;
}

Loaded parse(std::string_view text, const std::string& file, const std::string& directory) {
  Reader reader(file, directory);
  try {
    reader.read(toml::parse(text, file));
  } catch (const toml::parse_error& error) {
    reader.problem(static_cast<std::int64_t>(error.source().begin.line), "",
                   "not TOML: " + std::string(error.description()));
  }
  return reader.take();
}

Loaded load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  const std::filesystem::path absolute = std::filesystem::absolute(path);
  if (!in) {
    Loaded loaded;
    loaded.problems.push_back({path, 0, "", "cannot be read"});
    return loaded;
  }
  return parse(text.str(), path, absolute.parent_path().string());
}

std::string reference() {
  std::string out =
      "# Configuration: `relayd.toml`\n\n"
      "Made from the schema in `relayd/main/schema.cc` by `relayd --print-reference`; a test holds "
      "the two together.\n"
      "Paths are relative to the file. Unknown keys are errors. Sizes take `KiB MiB GiB KB MB GB`, "
      "durations `ms s m h d`, counts `k M`.\n\n"
      "| key | type | default | why |\n|---|---|---|---|\n";
  for (const Row& row : schema()) {
    const std::string standard = row.standard.empty() ? "" : "`" + row.standard + "`";
    std::string type = row.type;
    for (std::size_t at = 0; (at = type.find('|', at)) != std::string::npos; at += 2) {
      type.insert(at, "\\");
    }
    out += "| `" + row.key + "` | " + type + " | " +
           (row.standard == "required" ? "required" : standard) + " | " + row.why + " |\n";
  }
  return out;
}

}  // namespace configuration
