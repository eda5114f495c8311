"""The common routes in Django, with async views under its ASGI handler.

Django has no lifespan, so the lifespan test leaves it out, and no background tasks that outlive a
response: the nearest idiom is a task of the event loop that the module keeps a reference to. When
the client leaves, Django cancels the view or the iteration of a streamed response.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse

from .marks import stage
from .shared import CHUNK, EVENTS, LARGE_CHUNKS, describe_upload, event

settings.configure(
    DEBUG=False,
    SECRET_KEY="only for tests",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=[],
    LOGGING_CONFIG=None,
)
django.setup()

_tasks: set[asyncio.Task[None]] = set()


async def json_view(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return JsonResponse(json.loads(request.body))
    return JsonResponse({"hello": request.GET["name"]})


async def form(request: HttpRequest) -> HttpResponse:
    upload = request.FILES["upload"]
    return JsonResponse(describe_upload(request.POST["title"], upload.name, upload.read()))


async def stream(request: HttpRequest, key: str) -> HttpResponse:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await stage.until(key)
        yield b"second\n"
        for _ in range(LARGE_CHUNKS):
            yield CHUNK

    return StreamingHttpResponse(lines(), content_type="application/octet-stream")


async def events(request: HttpRequest, key: str) -> HttpResponse:
    async def publish() -> AsyncIterator[str]:
        for number in range(EVENTS):
            await stage.until(f"{key}/{number}")
            yield event(number)

    return StreamingHttpResponse(publish(), content_type="text/event-stream; charset=utf-8")


async def background(request: HttpRequest, key: str) -> HttpResponse:
    async def work() -> None:
        await stage.until(f"{key}/go")
        stage.mark(f"{key}/done")

    task = asyncio.create_task(work())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return JsonResponse({"accepted": True}, status=202)


async def hang(request: HttpRequest, key: str) -> HttpResponse:
    stage.mark(f"{key}/started")
    try:
        await stage.until(f"{key}/never")
    except asyncio.CancelledError:
        stage.mark(f"{key}/gone")
        raise
    return HttpResponse()


async def ticks(request: HttpRequest, key: str) -> HttpResponse:
    async def tick() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.005)
        finally:
            stage.mark(f"{key}/gone")

    return StreamingHttpResponse(tick())


async def links(request: HttpRequest) -> HttpResponse:
    told = {
        "self": request.build_absolute_uri(),
        "other": request.build_absolute_uri(reverse("links")),
    }
    return JsonResponse(told | {"client": request.META["REMOTE_ADDR"]})


async def fail(request: HttpRequest) -> HttpResponse:
    raise LookupError("the application's own fault")


urlpatterns = [
    path("json", json_view),
    path("form", form),
    path("stream/<key>", stream),
    path("events/<key>", events),
    path("background/<key>", background),
    path("hang/<key>", hang),
    path("ticks/<key>", ticks),
    path("links", links, name="links"),
    path("fail", fail),
]

app = ASGIHandler()
