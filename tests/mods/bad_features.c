/* Stream features that are none: the element has the namespace of stanzas. */
#include <stave/module.h>

SV_MODULE(.name = "bad_features", .summary = "Has no namespace for its stream feature",
          .stream_features = "<fine xmlns='urn:x'/><ver/>")
