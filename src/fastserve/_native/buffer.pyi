from typing import final

from typing_extensions import disjoint_base

# For cimport alone: Python can make these and hold them, no more.
@final
class WriteBuffer: ...

@final
class ReadBuffer: ...

@disjoint_base
class Input: ...
