"""Where a host keeps what it knows of an empty environment of each interpreter. Names only.

```
skeletons/NAME.json    the note from which environments are laid out
skeletons/NAME/        an environment that stays empty; complete where it is there
```
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

SKELETONS: Final = "skeletons"
_FORMAT: Final = 2


def skeleton_name(executable: str, size: int, changed_ns: int, version: str) -> str:
    """A name that is another one when the interpreter is, though at the same path.

    Args:
        executable: The real path of the base interpreter.
        size: Of that file, in bytes.
        changed_ns: When it was last changed, in nanoseconds.
        version: What it says that it is.
    """
    content = [_FORMAT, executable, size, changed_ns, version]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
