"""Networks that end, hang or fill their process when they are attacked, and a plan with all of them."""

NETS = '''
import ctypes, os, subprocess, sys, time
import torch
from torch import nn


class Misbehaving(nn.Module):
    """A linear network that does something once it is asked for gradients: when it is attacked."""

    def __init__(self, what):
        super().__init__()
        self.linear, self.what = nn.Linear(64, 10), what

    def forward(self, x):
        if x.requires_grad or (x.shape[0] > 2 and self.what == "at-once"):
            ACTS[self.what]()
        return self.linear(x.flatten(1))


def fill():
    kept = []
    while True:
        kept.append(torch.ones(8_000_000))


def spawn_and_die():
    """End the process, but not a child that it has started."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(os.environ["CHILDREN"], "a") as file:
        file.write(f"{child.pid}\\n")
    os._exit(1)


def close_pipes():
    """Close all files, and go on."""
    os.closerange(3, 256)
    time.sleep(3600)


ACTS = {
    "nothing": lambda: None,
    "exit": lambda: sys.exit(0),
    "die": lambda: os._exit(0),
    "crash": lambda: ctypes.string_at(0),
    "hang": lambda: time.sleep(3600),
    "fill": fill,
    "spawn": spawn_and_die,
    "close": close_pipes,
}


def make(what="nothing"):
    torch.manual_seed(0)
    return Misbehaving(what)


def make_exit(): return make("exit")
def make_die(): return make("die")
def make_crash(): return make("crash")
def make_hang(): return make("hang")
def make_fill(): return make("fill")
def make_spawn(): return make("spawn")
def make_close(): return make("close")
def stop_while_made(): sys.exit(0)
def die_while_made(): os._exit(0)
'''

HEAD = """
name: bad
dataset: {name: digits, limit: 8}
models:
  - {name: good, architecture: "nets.py:make"}
"""

TAIL = """
transfer: false
threats:
  - {norm: Linf, eps: 0.1, attacks: [{pgd: {steps: 2}}]}
"""


def plan(*names):
    """Return a configuration with a good model, and those that are made by the named functions."""
    models = "".join(f'  - {{name: {name}, architecture: "nets.py:{name}"}}\n' for name in names)
    return HEAD + models + TAIL
