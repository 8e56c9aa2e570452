"""Every call is somebody's right, or nobody's."""

from proglog.api.v1 import batches_pb2, cluster_pb2, log_pb2, losses_pb2, membership_pb2, replication_pb2
from proglog.security.actions import REPLICATE
from proglog.server.interceptors import ACTIONS
from proglog.wire.refusals import CALLS


def calls() -> set[str]:
    """The full names of all calls that the protos declare."""
    files = (batches_pb2, cluster_pb2, log_pb2, losses_pb2, membership_pb2, replication_pb2)
    services = [service for each in files for service in each.DESCRIPTOR.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def test_every_call_has_an_action_and_no_action_is_of_no_call() -> None:
    assert calls() == ACTIONS.keys()


def test_every_call_has_its_errors_listed() -> None:
    assert calls() == CALLS.keys()


def test_a_repair_needs_what_replication_needs() -> None:
    replication = {name: action for name, action in ACTIONS.items() if name.startswith("/proglog.v1.Replication/")}

    assert set(replication.values()) == {REPLICATE}
