"""How attacks ask a network: the values of `--engine`. No torch here."""

from __future__ import annotations

from typing import Literal, get_args

from robench.errors import ConfigError, nearest

Engine = Literal["auto", "eager", "compiled", "bfloat16", "graphs", "fastest"]
"""One of

- `auto`: by the fastest copy that is proven to be the same function;
- `eager`: the network as it is;
- `compiled`: by a copy that torch compiles, where it is proven; else as `auto`;
- `bfloat16`: in bfloat16, and again in float32 about images whose answer is not clear; else as `auto`;
- `graphs`: by CUDA graphs of a copy, on a CUDA device and where they are proven; else as `auto`;
- `fastest`: by whichever proven copy in float32 takes least time on the run's own images, compiled ones and
  the network itself among them: it may differ from run to run, and with it the last bits of images.
"""

ENGINES: tuple[Engine, ...] = get_args(Engine)


def check_engine(name: str, *, where: str = "engine") -> None:
    """Refuse what is no engine.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in ENGINES:
        names = ", ".join(f"`{one}`" for one in ENGINES)
        raise ConfigError(
            where=where, expected=f"one of {names}", got=repr(name), do=nearest(str(name), ENGINES)
        )
