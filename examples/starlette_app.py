"""A Starlette application made by a factory.

fastserve examples/starlette_app.py:create_app --factory
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route


async def greet(request: Request) -> JSONResponse:
    return JSONResponse({"hello": request.path_params["name"]})


async def upload(request: Request) -> PlainTextResponse:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(f"{size} bytes\n")


def create_app() -> Starlette:
    return Starlette(
        routes=[Route("/hello/{name}", greet), Route("/upload", upload, methods=["POST"])]
    )
