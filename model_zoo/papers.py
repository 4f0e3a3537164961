"""BibTeX of networks, heads and data sets; equal keys mean equal text in every package."""

from __future__ import annotations

WANG_OSHER = (
    "@article{wang2019graph, title={Graph interpolating activation improves both natural and robust "
    "accuracies in data-efficient deep learning}, author={Wang, Bao and Osher, Stanley J.}, "
    "journal={arXiv:1907.06800}, year={2019}}"
)
SHI_LAPLACIAN = (
    "@article{shi2017weighted, title={Weighted nonlocal Laplacian on interpolation from sparse data}, "
    "author={Shi, Zuoqiang and Osher, Stanley and Zhu, Wei}, journal={Journal of Scientific Computing}, "
    "volume={73}, pages={1164--1177}, year={2017}}"
)
ZHU_HARMONIC = (
    "@inproceedings{zhu2003semi, title={Semi-supervised learning using {Gaussian} fields and harmonic "
    "functions}, author={Zhu, Xiaojin and Ghahramani, Zoubin and Lafferty, John}, booktitle={ICML}, "
    "pages={912--919}, year={2003}}"
)
CALDER_POISSON = (
    "@inproceedings{calder2020poisson, title={Poisson learning: graph based semi-supervised learning at "
    "very low label rates}, author={Calder, Jeff and Cook, Brendan and Thorpe, Matthew and Slep{\\v{c}}ev, "
    "Dejan}, booktitle={ICML}, pages={1306--1316}, year={2020}, note={arXiv:2006.11184}}"
)
CALDER_PROPERLY = (
    "@article{calder2020properly, title={Properly-weighted graph {Laplacian} for semi-supervised learning}, "
    "author={Calder, Jeff and Slep{\\v{c}}ev, Dejan}, journal={Applied Mathematics \\& Optimization}, "
    "volume={82}, pages={1111--1159}, year={2020}, note={arXiv:1810.04351}}"
)
BROWN_GLL = (
    "@article{brown2024gll, title={{GLL}: a differentiable graph learning layer for neural networks}, "
    "author={Brown, Jason and Chen, Bohan and Hardiman-Mostow, Harris and Calder, Jeff and Bertozzi, Andrea "
    "L.}, journal={arXiv:2412.08016}, year={2024}}"
)
CALDER_GAME = (
    "@article{calder2018game, title={The game theoretic p-{Laplacian} and semi-supervised learning with few "
    "labels}, author={Calder, Jeff}, journal={Nonlinearity}, volume={32}, number={1}, pages={301--330}, "
    "year={2018}, note={arXiv:1711.10144}}"
)
WANG_FEYNMAN_KAC = (
    "@inproceedings{wang2019resnets, title={ResNets ensemble via the Feynman-Kac formalism to improve "
    "natural and robust accuracies}, author={Wang, Bao and Shi, Zuoqiang and Osher, Stanley J.}, "
    "booktitle={NeurIPS}, year={2019}, note={arXiv:1811.10745}}"
)
ZHANG_TRADES = (
    "@inproceedings{zhang2019theoretically, title={Theoretically principled trade-off between robustness "
    "and accuracy}, author={Zhang, Hongyang and Yu, Yaodong and Jiao, Jiantao and Xing, Eric P. and El "
    "Ghaoui, Laurent and Jordan, Michael I.}, booktitle={ICML}, year={2019}}"
)
HE_RESIDUAL = (
    "@inproceedings{he2016deep, title={Deep residual learning for image recognition}, author={He, Kaiming "
    "and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian}, booktitle={CVPR}, year={2016}}"
)
HE_IDENTITY = (
    "@inproceedings{he2016identity, title={Identity mappings in deep residual networks}, author={He, "
    "Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian}, booktitle={ECCV}, year={2016}}"
)
SIMONYAN_VGG = (
    "@inproceedings{simonyan2015very, title={Very deep convolutional networks for large-scale image "
    "recognition}, author={Simonyan, Karen and Zisserman, Andrew}, booktitle={ICLR}, year={2015}}"
)
ZAGORUYKO_WIDE = (
    "@inproceedings{zagoruyko2016wide, title={Wide residual networks}, author={Zagoruyko, Sergey and "
    "Komodakis, Nikos}, booktitle={BMVC}, year={2016}}"
)
LECUN_MNIST = (
    "@article{lecun1998gradient, title={Gradient-based learning applied to document recognition}, "
    "author={LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick}, "
    "journal={Proceedings of the IEEE}, volume={86}, number={11}, pages={2278--2324}, year={1998}}"
)
XIAO_FASHION = (
    "@article{xiao2017fashion, title={Fashion-{MNIST}: a novel image dataset for benchmarking machine "
    "learning algorithms}, author={Xiao, Han and Rasul, Kashif and Vollgraf, Roland}, "
    "journal={arXiv:1708.07747}, year={2017}}"
)
KRIZHEVSKY_CIFAR = (
    "@techreport{krizhevsky2009learning, title={Learning multiple layers of features from tiny images}, "
    "author={Krizhevsky, Alex}, institution={University of Toronto}, year={2009}}"
)
NETZER_SVHN = (
    "@inproceedings{netzer2011reading, title={Reading digits in natural images with unsupervised feature "
    "learning}, author={Netzer, Yuval and Wang, Tao and Coates, Adam and Bissacco, Alessandro and Wu, Bo "
    "and Ng, Andrew Y.}, booktitle={NIPS Workshop on Deep Learning and Unsupervised Feature Learning}, "
    "year={2011}}"
)
ALPAYDIN_DIGITS = (
    "@misc{alpaydin1998optical, title={Optical recognition of handwritten digits}, author={Alpaydin, Ethem "
    "and Kaynak, Cenk}, howpublished={UCI Machine Learning Repository}, year={1998}}"
)
DATHATHRI_SDP = (
    "@inproceedings{dathathri2020enabling, title={Enabling certification of verification-agnostic networks "
    "via memory-efficient semidefinite programming}, author={Dathathri, Sumanth and Dvijotham, Krishnamurthy "
    "and Kurakin, Alexey and Raghunathan, Aditi and Uesato, Jonathan and Bunel, Rudy and Shankar, Shreya and "
    "Steinhardt, Jacob and Goodfellow, Ian and Liang, Percy and Kohli, Pushmeet}, booktitle={NeurIPS}, "
    "year={2020}, note={arXiv:2010.11645}}"
)
ZHANG_BAB_ATTACK = (
    "@inproceedings{zhang2022branch, title={A branch and bound framework for stronger adversarial attacks of "
    "{ReLU} networks}, author={Zhang, Huan and Wang, Shiqi and Xu, Kaidi and Wang, Yihan and Jana, Suman and "
    "Hsieh, Cho-Jui and Kolter, J. Zico}, booktitle={ICML}, year={2022}}"
)
COVER_HART = (
    "@article{cover1967nearest, title={Nearest neighbor pattern classification}, author={Cover, Thomas and "
    "Hart, Peter}, journal={IEEE Transactions on Information Theory}, volume={13}, pages={21--27}, "
    "year={1967}}"
)
PAPERNOT_DEEP_KNN = (
    "@article{papernot2018deep, title={Deep k-nearest neighbors: towards confident, interpretable and robust "
    "deep learning}, author={Papernot, Nicolas and McDaniel, Patrick}, journal={arXiv:1803.04765}, "
    "year={2018}}"
)
NADARAYA = (
    "@article{nadaraya1964estimating, title={On estimating regression}, author={Nadaraya, Elizbar}, "
    "journal={Theory of Probability and Its Applications}, volume={9}, pages={141--142}, year={1964}}"
)
