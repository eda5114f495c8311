from typing import final

from fastserve._native.front import Front

@final
class ProxyFront(Front): ...
