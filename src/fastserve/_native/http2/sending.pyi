from typing_extensions import disjoint_base

from fastserve._native.http2.stream import Carrier

@disjoint_base
class Sending(Carrier): ...
