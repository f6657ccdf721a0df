#include "dkim/opendkim_message.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "dkim/opendkim.h"

namespace dkim {
namespace {

// The library takes bytes it only reads as pointers to writable ones.
u_char* readable(std::string_view bytes) {
  return const_cast<u_char*>(reinterpret_cast<const u_char*>(bytes.data()));
}

// Called by the library while it processes a signature, on the thread that called it.
DKIM_CBSTAT key_lookup(DKIM* handle, DKIM_SIGINFO*, u_char* buffer, size_t size) {
  const auto* record = static_cast<const std::string*>(dkim_get_user_context(handle));
  if (record == nullptr || record->size() >= size) return DKIM_CBSTAT_ERROR;
  std::memcpy(buffer, record->c_str(), record->size() + 1);
  return DKIM_CBSTAT_CONTINUE;
}

// The library ends a field at a NUL, takes VT and FF for blanks (RFC 5234: WSP is SP or HTAB), and
// no tab before the colon.
bool is_readable(const mail::Headers& headers) {
  using std::string_view_literals::operator""sv;
  return std::all_of(headers.fields().begin(), headers.fields().end(), [](const auto& field) {
    return field.raw.find_first_of("\0\v\f"sv) == std::string_view::npos &&
           field.raw.size() > field.name.size() && field.raw[field.name.size()] == ':';
  });
}

}  // namespace

struct Library::State {
  DKIM_LIB* handle = nullptr;
  ~State() {
    if (handle != nullptr) dkim_close(handle);
  }
};

Library::Library() : state_(std::make_unique<State>()) {}
Library::~Library() = default;

base::Result<std::shared_ptr<Library>> Library::open() {
  std::shared_ptr<Library> library(new Library());
  DKIM_LIB* handle = dkim_init(nullptr, nullptr);
  if (handle == nullptr) return base::error("libopendkim cannot be started");
  library->state_->handle = handle;
  if (!dkim_libfeature(handle, DKIM_FEATURE_SHA256) ||
      !dkim_libfeature(handle, DKIM_FEATURE_ED25519)) {
    return base::error("this libopendkim lacks rsa-sha256 or ed25519-sha256; install 2.11");
  }
  u_int flags = DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES;
  if (dkim_options(handle, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof flags) != DKIM_STAT_OK ||
      dkim_set_key_lookup(handle, key_lookup) != DKIM_STAT_OK) {
    return base::error("libopendkim does not take our settings");
  }
  return library;
}

struct OpendkimMessage::State {
  std::shared_ptr<Library> library;
  DKIM* handle = nullptr;
  std::vector<DKIM_SIGINFO*> signatures;  // none where the library is of no use

  ~State() {
    if (handle != nullptr) dkim_free(handle);
  }
  bool feed(const mail::Headers& headers, const std::vector<const mail::HeaderField*>& wanted);
  void list(std::size_t expected);
};

// False where the library refuses a field.
bool OpendkimMessage::State::feed(const mail::Headers& headers,
                                  const std::vector<const mail::HeaderField*>& wanted) {
  auto next = wanted.begin();
  for (const mail::HeaderField& field : headers.fields()) {
    if (field.is("DKIM-Signature")) {
      // The others are malformed, or too many, or not for the library. None of `wanted` signs them.
      if (next == wanted.end() || *next != &field) continue;
      ++next;
    }
    std::string_view raw = field.raw;
    if (raw.ends_with("\r\n")) raw.remove_suffix(2);
    if (dkim_header(handle, readable(raw), raw.size()) != DKIM_STAT_OK) return false;
  }
  return next == wanted.end();
}

// The library lists signatures in the order in which it was given them.
void OpendkimMessage::State::list(std::size_t expected) {
  DKIM_SIGINFO** listed = nullptr;
  int count = 0;
  if (dkim_eoh(handle) != DKIM_STAT_OK ||
      dkim_getsiglist(handle, &listed, &count) != DKIM_STAT_OK ||
      static_cast<std::size_t>(count) != expected) {
    return;
  }
  signatures.assign(listed, listed + count);
}

OpendkimMessage::OpendkimMessage(std::shared_ptr<Library> library, const mail::Headers& headers,
                                 const std::vector<const mail::HeaderField*>& signatures)
    : state_(std::make_unique<State>()) {
  state_->library = std::move(library);
  if (signatures.empty() || !is_readable(headers)) return;
  DKIM_STAT status = DKIM_STAT_OK;
  state_->handle =
      dkim_verify(state_->library->state_->handle, readable("relayd"), nullptr, &status);
  if (state_->handle == nullptr || !state_->feed(headers, signatures)) return;
  state_->list(signatures.size());
}

OpendkimMessage::~OpendkimMessage() = default;

OpendkimMessage::Answer OpendkimMessage::verify(std::size_t index, const std::string& key_record) {
  if (index >= state_->signatures.size()) return Answer::kUnknown;
  DKIM_SIGINFO* const info = state_->signatures[index];
  std::string record = key_record;
  dkim_set_user_context(state_->handle, &record);
  // Without a body it is the hash over the header that is compared.
  dkim_sig_process(state_->handle, info);
  dkim_set_user_context(state_->handle, nullptr);
  if ((dkim_sig_getflags(info) & DKIM_SIGFLAG_PASSED) != 0) return Answer::kFits;
  return dkim_sig_geterror(info) == DKIM_SIGERROR_BADSIG ? Answer::kMisfit : Answer::kUnknown;
}

}  // namespace dkim
