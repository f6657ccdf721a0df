#include "relayd/main/relayctl_apply.h"

#include <toml++/toml.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

#include "relayd/admin/plan_json.h"
#include "relayd/main/relayctl_client.h"

namespace relayctl {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::string place(const std::string& file, const toml::source_region& source) {
  return file + ":" + std::to_string(source.begin.line) + ": ";
}

toml::table parse_file(const std::string& path) {
  std::ifstream stream(path);
  if (!stream) throw Failure("cannot read " + path);
  try {
    return toml::parse(stream, path);
  } catch (const toml::parse_error& error) {
    throw Failure(place(path, error.source()) + std::string(error.description()));
  }
}

fs::path beside(const std::string& file, const std::string& relative) {
  return fs::absolute(file).parent_path() / relative;
}

// Recursion is bounded: toml++ refuses deeply nested documents.
json convert(const toml::node& node, const std::string& file);

json convert_table(const toml::table& table, const std::string& file) {
  json object = json::object();
  for (const auto& [key, value] : table) {
    const std::string_view text = key.str();
    if (text == "password_file" && value.is_string()) {
      if (table.contains("password")) {
        throw Failure(place(file, value.source()) +
                      "password_file: password is there too; one of them is enough");
      }
      try {
        object["password"] = read_secret(beside(file, **value.as_string()).string());
      } catch (const Failure& failure) {
        throw Failure(place(file, value.source()) + "password_file: " + failure.what());
      }
    } else {
      object[std::string(text)] = convert(value, file);
    }
  }
  return object;
}

json convert(const toml::node& node, const std::string& file) {
  if (const auto* table = node.as_table()) return convert_table(*table, file);
  if (const auto* array = node.as_array()) {
    json list = json::array();
    for (const toml::node& element : *array) list.push_back(convert(element, file));
    return list;
  }
  if (const auto* text = node.as_string()) return **text;
  if (const auto* number = node.as_integer()) return **number;
  if (const auto* number = node.as_floating_point()) return **number;
  if (const auto* truth = node.as_boolean()) return **truth;
  throw Failure(place(file, node.source()) + "dates and times are not expected here");
}

// The line of the value at `path`, or of the nearest table around it.
std::string place_of(const toml::table& document, std::string path, const std::string& file) {
  for (;;) {
    const auto node = toml::at_path(document, path);
    if (node.node() != nullptr && node.node()->source().begin.line > 0) {
      return place(file, node.node()->source());
    }
    const std::size_t cut = path.find_last_of(".[");
    if (cut == std::string::npos) return file + ": ";
    path.resize(cut);
  }
}

}  // namespace

json read_apply_file(const std::string& path) {
  const toml::table document = parse_file(path);
  json plan = convert(document, path);
  const auto read = admin::read_plan(plan);
  if (const auto* mistake = std::get_if<admin::PlanMistake>(&read)) {
    throw Failure(place_of(document, mistake->path, path) + mistake->str());
  }
  return plan;
}

std::string socket_of_configuration(const std::string& path) {
  const toml::table document = parse_file(path);
  const auto node = document["admin"]["socket"];
  if (node && !node.is_string()) {
    throw Failure(place(path, node.node()->source()) + "admin.socket: a string is expected");
  }
  return beside(path, node.value_or(std::string("admin.sock"))).string();
}

std::string read_secret(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream || fs::is_directory(path)) throw Failure("cannot read " + path);
  std::string text((std::istreambuf_iterator<char>(stream)), {});
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty()) throw Failure(path + " is empty");
  return text;
}

}  // namespace relayctl
