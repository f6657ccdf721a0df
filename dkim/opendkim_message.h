// One message in libopendkim: it is given the header section and the signatures that it reads as
// RFC 6376 does, and says whether they fit. The body stays ours. Not thread-safe; one message.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/mail/headers.h"
#include "dkim/verifier.h"

namespace dkim {

class OpendkimMessage {
 public:
  enum class Answer { kFits, kMisfit, kUnknown };

  // `signatures`: the DKIM-Signature fields to verify, in the order of `headers`, each of them
  // plain (signature_field.h). Their bytes need not outlive the call.
  OpendkimMessage(std::shared_ptr<Library> library, const mail::Headers& headers,
                  const std::vector<const mail::HeaderField*>& signatures);
  ~OpendkimMessage();
  OpendkimMessage(const OpendkimMessage&) = delete;
  OpendkimMessage& operator=(const OpendkimMessage&) = delete;

  // The signature at that place of `signatures` under the key of that record. kUnknown where the
  // library does not judge: a header section or a key that it does not read as the RFCs do.
  Answer verify(std::size_t index, const std::string& key_record);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dkim
