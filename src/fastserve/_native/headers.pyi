from typing import final

# For cimport alone: Python can make it and hold it, no more.
@final
class HeaderBlock: ...
