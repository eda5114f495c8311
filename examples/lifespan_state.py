"""Lifespan: something made once at start-up, given to every request, closed at shutdown.

fastserve examples/lifespan_state.py --lifespan on
"""


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        visits = scope["state"]["visits"]
        visits.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"visit %d\n" % len(visits)})


async def lifespan(scope, receive, send):
    await receive()
    scope["state"]["visits"] = []
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print(f"{len(scope['state']['visits'])} visits")
    await send({"type": "lifespan.shutdown.complete"})
