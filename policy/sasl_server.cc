#include "policy/sasl_server.h"

#include <sasl/sasl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <mutex>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/log.h"

namespace policy {
namespace {

struct Conversation {
  const CheckPassword* check = nullptr;
  bool checked = false;
  bool proven = false;
  bool trouble = false;
};

using Callback = int (*)();
template <typename Function>
Callback as_callback(Function* function) {
  return reinterpret_cast<Callback>(reinterpret_cast<void*>(function));
}

int get_option(void*, const char*, const char* option, const char** result, unsigned* length) {
  struct Option {
    std::string_view name;
    const char* value;
  };
  // "none" names no verifier, auxprop or canonicaliser that exists: what our callbacks do not
  // accept, nothing accepts. (Debian's library has an "alwaystrue" verifier.)
  static constexpr std::array<Option, 6> kOptions{{{"pwcheck_method", "none"},
                                                   {"mech_list", "PLAIN"},
                                                   {"auxprop_plugin", "none"},
                                                   {"canon_user_plugin", "INTERNAL"},
                                                   {"auto_transition", "no"},
                                                   {"log_level", "1"}}};
  for (const Option& known : kOptions) {
    if (known.name != option) continue;
    *result = known.value;
    if (length != nullptr) *length = static_cast<unsigned>(std::strlen(known.value));
    return SASL_OK;
  }
  return SASL_FAIL;
}

int get_plugin_path(void*, const char** path) {
  *path = RELAYD_SASL_PLUGIN_DIR;
  return SASL_OK;
}

int get_config_path(void*, char** path) {
  // A directory that cannot exist. Whether the library frees the text depends on its version, so it
  // gets one of its own each time; they are kept in sight for leak checkers.
  static auto* const given = new std::vector<char*>();
  *path = strdup("/dev/null");
  given->push_back(*path);
  return *path == nullptr ? SASL_NOMEM : SASL_OK;
}

// The library loads every plug-in it finds; this lets only PLAIN's in.
int verify_file(void*, const char* file, sasl_verify_type_t type) {
  if (type == SASL_VRFY_CONF || type == SASL_VRFY_PASSWD) return SASL_CONTINUE;
  const std::string_view path(file);
  const std::string_view base_name = path.substr(path.rfind('/') + 1);
  return base_name.starts_with("libplain.") ? SASL_OK : SASL_CONTINUE;
}

int write_log(void*, int level, const char* message) {
  // Failures of logins are logged by whoever has the session; the library's own lines name nobody.
  if (level == SASL_LOG_ERR) base::log_debug("sasl", {{"message", base::printable(message)}});
  return SASL_OK;
}

int check_password(sasl_conn_t*, void* context, const char* user, const char* password,
                   unsigned password_length, propctx*) {
  auto& conversation = *static_cast<Conversation*>(context);
  if (conversation.checked) return SASL_BADAUTH;
  conversation.checked = true;
  try {
    conversation.proven = (*conversation.check)(user, {password, password_length});
  } catch (const std::exception&) {  // must not unwind through C
    conversation.trouble = true;
  }
  return conversation.proven ? SASL_OK : SASL_BADAUTH;
}

int canonicalize(sasl_conn_t*, void*, const char* in, unsigned length, unsigned, const char*,
                 char* out, unsigned room, unsigned* out_length) {
  if (length == 0) return SASL_BADPROT;
  if (length >= room) return SASL_BUFOVER;
  // The library's own step behind this one would trim blanks; a name with any is none of ours.
  if (std::any_of(in, in + length, [](char c) { return (c >= 0 && c <= ' ') || c == 0x7f; })) {
    return SASL_BADPROT;
  }
  std::transform(in, in + length, out, [](char c) { return base::ascii_lower(c); });
  out[length] = '\0';
  *out_length = length;
  return SASL_OK;
}

int authorize(sasl_conn_t*, void*, const char* wanted, unsigned wanted_length, const char* proven,
              unsigned proven_length, const char*, unsigned, propctx*) {
  return std::string_view(wanted, wanted_length) == std::string_view(proven, proven_length)
             ? SASL_OK
             : SASL_BADAUTH;
}

void* mutex_new() { return new (std::nothrow) std::mutex; }
int mutex_lock(void* mutex) {
  static_cast<std::mutex*>(mutex)->lock();
  return 0;
}
int mutex_unlock(void* mutex) {
  static_cast<std::mutex*>(mutex)->unlock();
  return 0;
}
void mutex_free(void* mutex) { delete static_cast<std::mutex*>(mutex); }

base::Status start_once() {
  static const std::array<sasl_callback_t, 6> kCallbacks{
      {{SASL_CB_GETOPT, as_callback(get_option), nullptr},
       {SASL_CB_GETPATH, as_callback(get_plugin_path), nullptr},
       {SASL_CB_GETCONFPATH, as_callback(get_config_path), nullptr},
       {SASL_CB_VERIFYFILE, as_callback(verify_file), nullptr},
       {SASL_CB_LOG, as_callback(write_log), nullptr},
       {SASL_CB_LIST_END, nullptr, nullptr}}};
  sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
  const int rc = sasl_server_init(kCallbacks.data(), "relayd");
  if (rc != SASL_OK) {
    return base::error(std::string("Cyrus SASL does not start: ") +
                       sasl_errstring(rc, nullptr, nullptr));
  }
  const char** mechanisms = sasl_global_listmech();
  for (; mechanisms != nullptr && *mechanisms != nullptr; ++mechanisms) {
    if (std::string_view(*mechanisms) == "PLAIN") return base::Ok{};
  }
  return base::error("Cyrus SASL has no PLAIN in " RELAYD_SASL_PLUGIN_DIR
                     "; install libsasl2-modules");
}

struct Connection {
  sasl_conn_t* handle = nullptr;
  ~Connection() {
    if (handle != nullptr) sasl_dispose(&handle);
  }
};

std::string property(sasl_conn_t* connection, int which) {
  const void* value = nullptr;
  if (sasl_getprop(connection, which, &value) != SASL_OK || value == nullptr) return "";
  return static_cast<const char*>(value);
}

}  // namespace

base::Status start_sasl() {
  static std::once_flag once;
  static base::Status status = base::Ok{};
  std::call_once(once, [] { status = start_once(); });
  return status;
}

std::string canonical_username(std::string_view username) { return base::ascii_lower(username); }

SaslOutcome sasl_plain(std::string_view message, const CheckPassword& check) {
  SaslOutcome outcome;
  Conversation conversation;
  conversation.check = &check;
  const std::array<sasl_callback_t, 4> callbacks{
      {{SASL_CB_SERVER_USERDB_CHECKPASS, as_callback(check_password), &conversation},
       {SASL_CB_CANON_USER, as_callback(canonicalize), &conversation},
       {SASL_CB_PROXY_POLICY, as_callback(authorize), &conversation},
       {SASL_CB_LIST_END, nullptr, nullptr}}};
  Connection connection;
  int rc = sasl_server_new("smtp", "relayd", nullptr, nullptr, nullptr, callbacks.data(), 0,
                           &connection.handle);
  if (rc != SASL_OK) {
    outcome.trouble = true;
    outcome.reason = std::string("Cyrus SASL: ") + sasl_errstring(rc, nullptr, nullptr);
    return outcome;
  }
  const char* answer = nullptr;
  unsigned answer_length = 0;
  rc = sasl_server_start(connection.handle, "PLAIN", message.data(),
                         static_cast<unsigned>(message.size()), &answer, &answer_length);
  if (rc == SASL_OK && conversation.proven) {
    outcome.authzid = property(connection.handle, SASL_USERNAME);
    outcome.authcid = property(connection.handle, SASL_AUTHUSER);
    outcome.accepted = !outcome.authcid.empty() && outcome.authcid == outcome.authzid;
    if (!outcome.accepted) outcome.reason = "authorization identity is not the authenticated one";
    return outcome;
  }
  const bool ours = rc == SASL_NOMEM || rc == SASL_FAIL || rc == SASL_TRYAGAIN;
  outcome.trouble = conversation.trouble || (ours && !conversation.checked);
  if (conversation.proven) {
    outcome.reason = "authorization identity is not the authenticated one";
  } else if (conversation.checked) {
    outcome.reason = "no such user, or another password";
  } else {
    outcome.reason = std::string("not a PLAIN message: ") + sasl_errstring(rc, nullptr, nullptr);
  }
  return outcome;
}

}  // namespace policy
