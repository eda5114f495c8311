from typing_extensions import disjoint_base

from fastserve._native.http2.sending import Sending

@disjoint_base
class Streams(Sending): ...
