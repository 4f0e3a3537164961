"""The documentation site: how the Markdown of this repository becomes HTML.

`make docs` builds and checks it.
"""
