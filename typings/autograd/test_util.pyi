# autograd's decorators change a function's signature in a way its own annotations do not say.
from typing import Any

def __getattr__(name: str) -> Any: ...
