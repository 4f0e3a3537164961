"""BibTeX shared by several attacks, and that of the libraries; equal keys mean equal text everywhere."""

from __future__ import annotations

WANG_OSHER = (
    "@article{wang2019graph, title={Graph interpolating activation improves both natural and robust "
    "accuracies in data-efficient deep learning}, author={Wang, Bao and Osher, Stanley J.}, "
    "journal={arXiv:1907.06800}, year={2019}}"
)
TRAMER_ADAPTIVE = (
    "@inproceedings{tramer2020adaptive, title={On adaptive attacks to adversarial example defenses}, "
    "author={Tram{\\`e}r, Florian and Carlini, Nicholas and Brendel, Wieland and Madry, Aleksander}, "
    "booktitle={NeurIPS}, year={2020}}"
)
SITAWARIN_NEIGHBOURS = (
    "@article{sitawarin2020minimum, title={Minimum-norm adversarial examples on {KNN} and {KNN}-based "
    "models}, author={Sitawarin, Chawin and Wagner, David}, journal={arXiv:2003.06559}, year={2020}}"
)
CROCE_L1 = (
    "@inproceedings{croce2021mind, title={Mind the box: $l_1$-{APGD} for sparse adversarial attacks on "
    "image classifiers}, author={Croce, Francesco and Hein, Matthias}, booktitle={ICML}, year={2021}}"
)
LIU_ADAPTIVE = (
    "@inproceedings{liu2022practical, title={Practical evaluation of adversarial robustness via adaptive "
    "auto attack}, author={Liu, Ye and Cheng, Yaya and Gao, Lianli and Liu, Xianglong and Zhang, Qilong and "
    "Song, Jingkuan}, booktitle={CVPR}, year={2022}}"
)
ART = (
    "@article{nicolae2018adversarial, title={Adversarial robustness toolbox v1.0.0}, author={Nicolae, "
    "Maria-Irina and Sinn, Mathieu and Tran, Minh Ngoc and Buesser, Beat and Rawat, Ambrish and Wistuba, "
    "Martin and Zantedeschi, Valentina and Baracaldo, Nathalie and Chen, Bryant and Ludwig, Heiko and "
    "Molloy, Ian M. and Edwards, Ben}, journal={arXiv:1807.01069}, year={2018}}"
)
TORCHATTACKS = (
    "@article{kim2020torchattacks, title={Torchattacks: a {PyTorch} repository for adversarial attacks}, "
    "author={Kim, Hoki}, journal={arXiv:2010.01950}, year={2020}}"
)
FOOLBOX = (
    "@article{rauber2020foolbox, title={Foolbox Native: fast adversarial attacks to benchmark the "
    "robustness of machine learning models in {PyTorch}, {TensorFlow}, and {JAX}}, author={Rauber, Jonas "
    "and Zimmermann, Roland and Bethge, Matthias and Brendel, Wieland}, journal={Journal of Open Source "
    "Software}, volume={5}, number={53}, pages={2607}, year={2020}}"
)


def together(*entries: str) -> str:
    """Return several entries as one text."""
    return "\n".join(entries)
