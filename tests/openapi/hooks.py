"""What schemathesis may not do to the balancer under test, and what it cannot know: which words mean something here.

No pool that it makes starts a program or leaves this machine, and no call waits for long.
"""

import itertools
import os

import schemathesis
from hypothesis import strategies

UPSTREAM = os.environ["UPSTREAM"]  # where somebody accepts
NOBODY = "127.0.0.1:1"

calls = itertools.count()

schemathesis.openapi.format("pool-name", strategies.sampled_from(["default", "blue", "green", "none", "Blue!"]))
schemathesis.openapi.format(
    "replica-name",
    strategies.sampled_from(["Server-1", "Server-2", "S3", "S4", "-", UPSTREAM, NOBODY, "nobody"]),
)
schemathesis.openapi.format("source", strategies.sampled_from([UPSTREAM, NOBODY, f"{UPSTREAM},{NOBODY}", "nowhere"]))
schemathesis.openapi.format("socket-address", strategies.sampled_from(["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1"]))
schemathesis.openapi.format("time-span", strategies.sampled_from(["0s", "1ms", "200ms", "1s", "s", "-1s"]))


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.query, dict):
        bound_waits(case.query)
    if case.operation.label in ("PUT /v1/pools/{pool}", "DELETE /v1/pools/{pool}"):
        if case.path_parameters.get("pool") == "default" and next(calls) % 10:
            case.path_parameters["pool"] = "green"  # the default pool would refuse each
        if isinstance(case.body, dict) and "PUT" in case.operation.label:
            bound_pool(case.body)


def bound_waits(query):
    if str(query.get("follow")).lower() == "true":
        query["follow"] = "false"  # what a replica writes does not end
    wait = str(query.get("wait"))
    if wait.isdecimal() and 1 < int(wait) <= 60:
        query["wait"] = 0


def bound_pool(settings):
    if settings.get("engine", "docker") in ("docker", "process", "labels"):
        settings["engine"] = "fixed"
        settings.pop("replicas", None)
    settings.setdefault("add_timeout", "200ms")
