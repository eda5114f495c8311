"""Strawberry on FastAPI: GraphQL subscriptions over graphql-transport-ws."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import strawberry
from fastapi import FastAPI
from strawberry.fastapi import GraphQLRouter


@strawberry.type
class Query:
    @strawberry.field
    def running(self) -> int:
        return Subscription.running


@strawberry.type
class Subscription:
    running = 0

    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(to):
            yield number

    @strawberry.subscription
    async def forever(self) -> AsyncGenerator[int, None]:
        """Ends when the client says so, or has left."""
        Subscription.running += 1
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            Subscription.running -= 1

    @strawberry.subscription
    async def failing(self) -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("in the middle")


app = FastAPI()
schema = strawberry.Schema(query=Query, subscription=Subscription)
app.include_router(GraphQLRouter(schema), prefix="/graphql")
