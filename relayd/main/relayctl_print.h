// Answers of the admin API for people: tables, and secrets with the warning that they come once.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace relayctl {

// Answers carry what strangers wrote (replies, addresses): no escape sequences for the terminal.
std::string printable(std::string text);
// An array of objects as a table of these members, widths fitted.
void print_table(const nlohmann::json& rows, const std::vector<std::string>& columns);
// One object, a member a line.
void print_record(const nlohmann::json& record);
// What apply and the rotations give: names, new credentials, new webhook secrets.
void print_applied(const nlohmann::json& applied);
void print_credential(const std::string& owner, const nlohmann::json& credential);
void print_removed(const nlohmann::json& answer);
void print_dns_record(const nlohmann::json& record);

}  // namespace relayctl
