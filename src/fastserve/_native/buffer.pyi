from typing import final

# For cimport alone: Python can make these and hold them, no more.
@final
class WriteBuffer: ...

@final
class ReadBuffer: ...
