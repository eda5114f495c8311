from typing import final

from typing_extensions import disjoint_base

# For cimport alone: Python can make these and hold them, no more.
@disjoint_base
class Expirable: ...

@final
class DeadlineQueue:
    def __init__(self, kind: int, seconds: float) -> None: ...
