// Delivery reports that come back to a support address (product rule O7): one that can be tied to a
// message of the same tenant becomes message.bounced, message.delayed or message.delivered for its
// back end; any other stays a ticket.
#pragma once

#include "core/mail/headers.h"
#include "queue/store.h"
#include "relayd/ingress/settings.h"

namespace ingress {

// Makes the event out of `message`, whose content is complete, where it is a report that can be
// tied; true where it did.
bool make_delivery_event(const Workplace& workplace, const Settings& settings,
                         const mail::Headers& headers, queue::NewMessage& message);

}  // namespace ingress
