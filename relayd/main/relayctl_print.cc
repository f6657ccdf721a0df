#include "relayd/main/relayctl_print.h"

#include <algorithm>
#include <iostream>

#include "core/base/bytes.h"

namespace relayctl {
namespace {

using nlohmann::json;

constexpr std::size_t kCellOctets = 60;
constexpr std::string_view kOnce = "shown only once: keep it now, it cannot be shown again";

std::string cell(const json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return printable(value.get<std::string>());
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array()) {
    std::string text;
    for (const json& element : value) {
      if (element.is_object()) return std::to_string(value.size());
      text += (text.empty() ? "" : ", ") + cell(element);
    }
    return text.empty() ? "-" : text;
  }
  if (value.is_object() && value.contains("host")) {
    return cell(value["host"]) + ":" + cell(value["port"]);
  }
  return printable(value.dump());
}

std::string shortened(std::string text) {
  if (text.size() <= kCellOctets) return text;
  std::size_t cut = kCellOctets - 3;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
  return text.substr(0, cut) + "...";
}

std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

void print_record_indented(const json& record, const std::string& indent) {
  for (const auto& [key, value] : record.items()) {
    const bool nested_list = value.is_array() && !value.empty() && value.front().is_object();
    if (!value.is_object() && !nested_list) {
      std::cout << indent << key << ": " << cell(value) << "\n";
    } else if (value.is_object()) {
      std::cout << indent << key << ":\n";
      print_record_indented(value, indent + "  ");
    } else {
      for (const json& element : value) {
        std::cout << indent << key << ":\n";
        print_record_indented(element, indent + "  ");
      }
    }
  }
}

}  // namespace

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; }, ' ');
  return base::printable(text, text.size());
}

void print_table(const json& rows, const std::vector<std::string>& columns) {
  if (rows.empty()) {
    std::cout << "none\n";
    return;
  }
  std::vector<std::vector<std::string>> lines;
  lines.push_back(columns);
  for (const json& row : rows) {
    std::vector<std::string> line;
    for (const std::string& column : columns) {
      line.push_back(shortened(row.contains(column) ? cell(row[column]) : "-"));
    }
    lines.push_back(std::move(line));
  }
  std::vector<std::size_t> widths(columns.size(), 0);
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
  }
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) text += std::string(widths[i] - width(line[i]) + 2, ' ');
    }
    std::cout << text << "\n";
  }
}

void print_record(const json& record) { print_record_indented(record, ""); }

void print_credential(const std::string& owner, const json& credential) {
  std::cout << "credential of " << owner << " (" << kOnce << ")\n"
            << "  id        " << cell(credential["id"]) << "\n"
            << "  username  " << cell(credential["username"]) << "\n"
            << "  password  " << cell(credential["password"]) << "\n";
}

void print_applied(const json& applied) {
  for (const json& tenant : applied["tenants"]) {
    const std::string owner = "tenant " + cell(tenant["name"]);
    std::cout << owner << "\n";
    if (tenant.contains("webhook_secret")) {
      std::cout << "webhook secret of " << owner << " (" << kOnce << ")\n"
                << "  " << cell(tenant["webhook_secret"]) << "\n";
    }
    if (tenant.contains("credential")) print_credential(owner, tenant["credential"]);
  }
  for (const json& domain : applied["domains"]) {
    const std::string owner = "domain " + cell(domain["name"]);
    std::cout << owner << "\n";
    if (domain.contains("credential")) print_credential(owner, domain["credential"]);
  }
}

void print_removed(const json& answer) {
  for (const auto& [what, names] : answer["removed"].items()) {
    if (!names.empty()) std::cout << "removed " << what << ": " << cell(names) << "\n";
  }
  std::cout << "still queued for it: " << cell(answer["still_queued"]) << "\n";
}

void print_dns_record(const json& record) {
  std::cout << "publish in DNS:\n  " << cell(record["name"]) << ". IN " << cell(record["type"]);
  // A string of a TXT record has 255 octets at most (RFC 1035 3.3); readers join them.
  const std::string value = cell(record["value"]);
  for (std::size_t at = 0; at < value.size(); at += 255) {
    std::cout << " \"" << value.substr(at, 255) << "\"";
  }
  std::cout << "\n";
}

}  // namespace relayctl
