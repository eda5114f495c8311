from typing import final

@final
class RequestIds: ...
