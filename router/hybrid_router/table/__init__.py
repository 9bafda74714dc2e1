"""The RouteTable: what a router serves, as one JSON document.

The operator writes it, the router reads it, and nothing in it belongs to Kubernetes: a table in a
file is enough to run a router on a laptop. Unknown optional fields are ignored, so that an operator
may be one release ahead of its routers; an unknown `version` is refused, and the router keeps the
last good table.

Secrets never stand in the table. They are named by file (a mounted Secret) or by environment
variable, and read by the router alone.

Units: seconds for times, bytes for sizes, USD per million tokens for prices.
"""

from hybrid_router.table.backends import (
    Backend,
    Capability,
    Model,
    Price,
    Service,
    Surface,
    Target,
    Timeouts,
)
from hybrid_router.table.calibration import (
    BINS,
    EVERY,
    MAX_CALIBRATION_BYTES,
    Calibration,
    HeldOut,
    Map,
    Step,
    decode_calibration,
    encode_calibration,
)
from hybrid_router.table.clients import KeyLimits, Keys, Limits
from hybrid_router.table.data import BUILT_IN, GROUPS, TYPES, UNSCANNED, DataPolicy
from hybrid_router.table.document import (
    VERSION,
    RouteTable,
    content_hash,
    decode,
    encode,
    json_schema,
)
from hybrid_router.table.policy import (
    INTENTS,
    Classifier,
    Comparison,
    IntentPolicy,
    Policy,
    RoutingRule,
)
from hybrid_router.table.values import RateLimits, SecretRef, TableError

__all__ = [
    "BINS",
    "BUILT_IN",
    "EVERY",
    "GROUPS",
    "INTENTS",
    "MAX_CALIBRATION_BYTES",
    "TYPES",
    "UNSCANNED",
    "VERSION",
    "Backend",
    "Calibration",
    "Capability",
    "Classifier",
    "Comparison",
    "DataPolicy",
    "HeldOut",
    "IntentPolicy",
    "KeyLimits",
    "Keys",
    "Limits",
    "Map",
    "Model",
    "Policy",
    "Price",
    "RateLimits",
    "RouteTable",
    "RoutingRule",
    "SecretRef",
    "Service",
    "Step",
    "Surface",
    "TableError",
    "Target",
    "Timeouts",
    "content_hash",
    "decode",
    "decode_calibration",
    "encode",
    "encode_calibration",
    "json_schema",
]
