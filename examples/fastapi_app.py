"""A FastAPI application, started by the command or as a script.

fastserve examples/fastapi_app.py
python examples/fastapi_app.py
"""

from fastapi import FastAPI
from pydantic import BaseModel

import fastserve

app = FastAPI()


class Item(BaseModel):
    name: str
    price: float


@app.get("/")
async def read_root():
    return {"hello": "world"}


@app.post("/items")
async def create_item(item: Item):
    return {"name": item.name, "with_tax": round(item.price * 1.19, 2)}


if __name__ == "__main__":
    fastserve.run(app)
