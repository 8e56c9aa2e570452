"""Serf's commands over gRPC, `proglog.v1.Membership`."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc.aio

from proglog.api.v1 import membership_pb2 as pb
from proglog.api.v1 import membership_pb2_grpc
from proglog.gossip.asking import GossipQuery
from proglog.gossip.wire import printable
from proglog.server.context import Context
from proglog.server.membership_calls import MembershipCalls
from proglog.wire.key_operations import operation_word


class MembershipService(membership_pb2_grpc.MembershipServicer):
    """Serves :class:`MembershipCalls`."""

    name = "proglog.v1.Membership"

    def __init__(self, calls: MembershipCalls) -> None:
        """Serve ``calls``."""
        self._calls = calls

    def register(self, server: grpc.aio.Server) -> None:
        """Add this service to a server."""
        membership_pb2_grpc.add_MembershipServicer_to_server(self, server)

    async def SendEvent(self, request: pb.SendEventRequest, context: Context) -> pb.SendEventResponse:  # noqa: N802 - gRPC's name
        """Broadcast a user event to every member."""
        del context
        return pb.SendEventResponse(
            ltime=self._calls.send_event(request.name, request.payload, coalesce=request.coalesce)
        )

    async def FollowEvents(  # noqa: N802 - gRPC's name
        self, request: pb.FollowEventsRequest, context: Context
    ) -> AsyncIterator[pb.UserEvent]:
        """Yield user events as this agent receives them."""
        del context
        async for fed in self._calls.follow_events(follow=request.follow, only_new=request.only_new):
            event = fed.event
            yield pb.UserEvent(name=event.name, payload=event.payload, ltime=event.ltime, at_ms=fed.at_ms)

    async def Query(self, request: pb.QueryRequest, context: Context) -> AsyncIterator[pb.QueryReply]:  # noqa: N802 - gRPC's name
        """Query the members; yield their answers."""
        del context
        query = GossipQuery(
            name=request.name,
            payload=request.payload,
            nodes=tuple(request.nodes),
            tags=dict(request.tags),
            ack=request.ack,
            detours=request.relay_factor,
            timeout=request.timeout_ms / 1000 if request.HasField("timeout_ms") else None,
        )
        async with aclosing(self._calls.query(query)) as answers:
            async for answer in answers:
                yield pb.QueryReply(
                    node=printable(answer.source), ack=answer.payload is None, payload=answer.payload or b""
                )

    async def SetTags(self, request: pb.SetTagsRequest, context: Context) -> pb.SetTagsResponse:  # noqa: N802 - gRPC's name
        """Change this agent's tags."""
        del context
        return pb.SetTagsResponse(tags=self._calls.set_tags(dict(request.set), tuple(request.delete)))

    async def Join(self, request: pb.JoinRequest, context: Context) -> pb.JoinResponse:  # noqa: N802 - gRPC's name
        """Join through other members."""
        del context
        outcomes = await self._calls.join(tuple(request.addrs))
        return pb.JoinResponse(outcomes=[pb.JoinOutcome(addr=addr, error=error) for addr, error in outcomes.items()])

    async def Leave(self, request: pb.LeaveRequest, context: Context) -> pb.LeaveResponse:  # noqa: N802 - gRPC's name
        """Leave the cluster and stop this agent."""
        del request, context
        self._calls.leave()
        return pb.LeaveResponse()

    async def Keys(self, request: pb.KeysRequest, context: Context) -> pb.KeysResponse:  # noqa: N802 - gRPC's name
        """Change or list the gossip keys of all members."""
        del context
        report = await self._calls.keys(operation_word(request.operation), request.key)
        outcomes = [
            pb.KeyOutcome(node=name, error=answer.error, keys=answer.keys, primary=answer.primary)
            for name, answer in sorted(report.answers.items())
        ]
        return pb.KeysResponse(members=report.members, outcomes=outcomes)

    async def RoundTrip(self, request: pb.RoundTripRequest, context: Context) -> pb.RoundTripResponse:  # noqa: N802 - gRPC's name
        """Estimate the round trip between two members."""
        del context
        return pb.RoundTripResponse(
            seconds=self._calls.round_trip(request.a, request.b if request.HasField("b") else None)
        )
