"""Django Channels: HTTP and WebSocket in one router, consumers, groups over a channel layer."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    INSTALLED_APPS=["channels"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
)
django.setup()

from asgiref.sync import async_to_sync  # noqa: E402
from channels.generic.websocket import (  # noqa: E402
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import get_channel_layer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


class Shout(WebsocketConsumer):
    """A synchronous consumer: it runs in a thread."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        assert text_data is not None
        self.send(text_data=text_data.upper())
        if text_data == "enough":
            self.close(code=4002)


class Room(AsyncJsonWebsocketConsumer):
    """Everybody in the room hears everything, through the channel layer."""

    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        if self.room == "closed":
            await self.close()
            return
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept("rooms" if "rooms" in self.scope["subprotocols"] else None)
        await self.send_json({"joined": self.room})

    async def disconnect(self, code: int) -> None:
        if self.room != "closed":
            await self.channel_layer.group_discard(self.room, self.channel_name)
            await self.tell({"left": code})

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.tell({"said": content})

    async def tell(self, content: Any) -> None:
        await self.channel_layer.group_send(self.room, {"type": "room.event", "content": content})

    async def room_event(self, event: dict[str, Any]) -> None:
        await self.send_json(event["content"])


def announce(request: HttpRequest, room: str) -> JsonResponse:
    """A view of plain HTTP speaks to those in the room."""
    event = {"type": "room.event", "content": {"announced": request.GET["text"]}}
    async_to_sync(get_channel_layer().group_send)(room, event)
    return JsonResponse({"told": room})


urlpatterns = [path("announce/<str:room>", announce)]

app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter(
            [
                path("echo", Echo.as_asgi()),
                path("shout", Shout.as_asgi()),
                path("rooms/<str:room>", Room.as_asgi()),
            ]
        ),
    }
)
