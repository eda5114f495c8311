from typing import final

@final
class TlsFront: ...
