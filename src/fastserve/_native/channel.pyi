from typing_extensions import disjoint_base

from fastserve._native.deadlines import Expirable

@disjoint_base
class Channel(Expirable): ...
