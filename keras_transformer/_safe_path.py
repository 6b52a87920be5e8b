"""Takes the current folder off the path of `python -m keras_transformer.cli`; to be imported before all else.

`python -m` puts it there, first: files of a folder that somebody downloaded would be imported in place of libraries.
The installed command has no such entry. This package itself is imported already, and finds its modules by its own path.
"""

import sys

if sys.argv[:1] == ["-m"] and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]
