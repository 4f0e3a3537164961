"""Speed, memory and strength, measured side by side with peers.

| command | what it measures |
|---|---|
| `python -m benchmarks pgd cw` | seconds, verdicts and sizes of our attacks and those of three libraries |
| `python -m benchmarks bars` | speeds beside rivals: `benchmarks/RESULTS.md`, `benchmarks/results.csv` |
| `python -m benchmarks graph` | one joint WNLL graph against one gradient step of ResNet20 |
| `python -m benchmarks memory` | peak memory of an evaluation against the number of images |
| `python -m benchmarks training` | our training loop against a bare PyTorch loop |
| `python -m benchmarks wnll_training` | a step of a WNLL stage, with and without cached backbone outputs |
| `python -m benchmarks cascade` | the reference AutoAttack, ours, and our economical one |
| `python -m benchmarks.many_classes` | the same three cascades on a hundred classes made of CIFAR-10 |
| `python -m benchmarks.scale` | what plan, store and reports cost by themselves, of simulated runs |
| `python -m benchmarks.store_cost` | what the run folder costs beside an attack |
| `python -m benchmarks.coverage` | how often the interval of `robench compare` covers the true gap |
| `python -m benchmarks.convergence` | how many images fall to more effort where `not-converged` is lifted |
| `python -m benchmarks.re_evaluation RUN...` | the tables of docs/wnll-re-evaluation.md, from run folders |

`python -m benchmarks` alone runs `pgd`, `cw`, `graph`, `memory`, `training` and `wnll_training`. Images and
networks come from `benchmarks.models`; `benchmarks.timing` measures rivals in turn.
"""
