"""Who calls in tests, and how a call of theirs ends."""

import asyncio
import hashlib

import grpc
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.roles import Role

REFLECT = reflection_pb2.ServerReflectionRequest(list_services="")

TOKENS = {
    **{role.name.lower(): [role.name.lower()] for role in Role},
    "semantic": ["admin:semantic-segmentation"],
    "detection": ["admin:detection"],
    "mixed": ["viewer", "trainer:detection"],
}


def bearer(name):
    """The metadata of a caller; a token's text is its name here."""
    return [("authorization", f"Bearer {name}")]


def entry(name, token, roles=("viewer",), **more):
    """What the file says of a token."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return {"name": name, "sha256": digest, "roles": list(roles)} | more


async def ended(call):
    """Read a call to its end, and return its code."""
    try:
        if hasattr(call, "__await__"):
            await call
        else:
            async for _ in call:
                pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def reflect(channel, metadata):
    """Ask for the services; return the code."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    return await ended(stub.ServerReflectionInfo(iter([REFLECT]), metadata=metadata, timeout=60))


async def channelz(channel, metadata):
    """Ask for the servers; return the code."""
    stub = channelz_pb2_grpc.ChannelzStub(channel)
    call = stub.GetServers(channelz_pb2.GetServersRequest(), metadata=metadata, timeout=60)
    return await call.code()


async def until(is_so):
    """Wait until something, which is asked over the network, is so."""
    async with asyncio.timeout(30):
        while not await is_so():  # noqa: ASYNC110 - it is asked over the network
            await asyncio.sleep(0.05)
