"""Records in, pictures out: one figure per file, drawn by matplotlib without its global state. No torch here.

A plugin of the group `robench.figures` is a frozen recipe with an `info` and
`__call__(records, path, *, board) -> Path`, which draws one board and writes it as SVG, PNG or PDF, byte for
byte the same from the same records. Ours have `draw(board) -> Figure` too, for a picture of your own.
"""
