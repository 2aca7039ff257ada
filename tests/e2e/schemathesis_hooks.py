"""How schemathesis writes bodies of the media types that only this API has; it loads this module itself."""

import schemathesis

schemathesis.serializer.alias(
    ["application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"],
    "application/json",
)
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
