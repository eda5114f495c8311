from typing import final

@final
class RequestIds:
    def __init__(self) -> None: ...
