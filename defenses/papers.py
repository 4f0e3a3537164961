"""BibTeX of the papers that defenses come from; equal keys mean equal text in every package."""

from __future__ import annotations

WANG_OSHER = (
    "@article{wang2019graph, title={Graph interpolating activation improves both natural and robust "
    "accuracies in data-efficient deep learning}, author={Wang, Bao and Osher, Stanley J.}, "
    "journal={arXiv:1907.06800}, year={2019}}"
)
WANG_FEYNMAN_KAC = (
    "@inproceedings{wang2019resnets, title={ResNets ensemble via the Feynman-Kac formalism to improve "
    "natural and robust accuracies}, author={Wang, Bao and Shi, Zuoqiang and Osher, Stanley J.}, "
    "booktitle={NeurIPS}, year={2019}, note={arXiv:1811.10745}}"
)
BROWN_GLL = (
    "@article{brown2024gll, title={{GLL}: a differentiable graph learning layer for neural networks}, "
    "author={Brown, Jason and Chen, Bohan and Hardiman-Mostow, Harris and Calder, Jeff and Bertozzi, Andrea "
    "L.}, journal={arXiv:2412.08016}, year={2024}}"
)
MADRY = (
    "@inproceedings{madry2018towards, title={Towards deep learning models resistant to adversarial "
    "attacks}, author={Madry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, Dimitris "
    "and Vladu, Adrian}, booktitle={ICLR}, year={2018}}"
)
GOWAL_IBP = (
    "@article{gowal2018effectiveness, title={On the effectiveness of interval bound propagation for training "
    "verifiably robust models}, author={Gowal, Sven and Dvijotham, Krishnamurthy and Stanforth, Robert and "
    "Bunel, Rudy and Qin, Chongli and Uesato, Jonathan and Arandjelovic, Relja and Mann, Timothy and Kohli, "
    "Pushmeet}, journal={arXiv preprint arXiv:1810.12715}, year={2018}}"
)
ZHANG_TRADES = (
    "@inproceedings{zhang2019theoretically, title={Theoretically principled trade-off between robustness "
    "and accuracy}, author={Zhang, Hongyang and Yu, Yaodong and Jiao, Jiantao and Xing, Eric P. and El "
    "Ghaoui, Laurent and Jordan, Michael I.}, booktitle={ICML}, year={2019}}"
)
WANG_MART = (
    "@inproceedings{wang2020improving, title={Improving adversarial robustness requires revisiting "
    "misclassified examples}, author={Wang, Yisen and Zou, Difan and Yi, Jinfeng and Bailey, James and Ma, "
    "Xingjun and Gu, Quanquan}, booktitle={ICLR}, year={2020}}"
)
WONG_FAST = (
    "@inproceedings{wong2020fast, title={Fast is better than free: revisiting adversarial training}, "
    "author={Wong, Eric and Rice, Leslie and Kolter, J. Zico}, booktitle={ICLR}, year={2020}}"
)
SHAFAHI_FREE = (
    "@inproceedings{shafahi2019adversarial, title={Adversarial training for free!}, author={Shafahi, Ali "
    "and Najibi, Mahyar and Ghiasi, Amin and Xu, Zheng and Dickerson, John and Studer, Christoph and "
    "Davis, Larry S. and Taylor, Gavin and Goldstein, Tom}, booktitle={NeurIPS}, year={2019}}"
)
TANG_SVM = (
    "@article{tang2013deep, title={Deep learning using linear support vector machines}, author={Tang, "
    "Yichuan}, journal={arXiv:1306.0239}, year={2013}}"
)
VERMA_MIXUP = (
    "@inproceedings{verma2019manifold, title={Manifold mixup: better representations by interpolating "
    "hidden states}, author={Verma, Vikas and Lamb, Alex and Beckham, Christopher and Najafi, Amir and "
    "Mitliagkas, Ioannis and Lopez-Paz, David and Bengio, Yoshua}, booktitle={ICML}, year={2019}}"
)
PAPERNOT_DISTILLATION = (
    "@inproceedings{papernot2016distillation, title={Distillation as a defense to adversarial "
    "perturbations against deep neural networks}, author={Papernot, Nicolas and McDaniel, Patrick and Wu, "
    "Xi and Jha, Somesh and Swami, Ananthram}, booktitle={IEEE Symposium on Security and Privacy}, "
    "year={2016}}"
)
TRAMER_ENSEMBLE = (
    "@inproceedings{tramer2018ensemble, title={Ensemble adversarial training: attacks and defenses}, "
    "author={Tram{\\`e}r, Florian and Kurakin, Alexey and Papernot, Nicolas and Goodfellow, Ian and Boneh, "
    "Dan and McDaniel, Patrick}, booktitle={ICLR}, year={2018}}"
)
XU_SQUEEZING = (
    "@inproceedings{xu2018feature, title={Feature squeezing: detecting adversarial examples in deep neural "
    "networks}, author={Xu, Weilin and Evans, David and Qi, Yanjun}, booktitle={NDSS}, year={2018}}"
)
GUO_TRANSFORMATIONS = (
    "@inproceedings{guo2018countering, title={Countering adversarial images using input transformations}, "
    "author={Guo, Chuan and Rana, Mayank and Ciss{\\'e}, Moustapha and van der Maaten, Laurens}, "
    "booktitle={ICLR}, year={2018}}"
)
DZIUGAITE_JPEG = (
    "@article{dziugaite2016study, title={A study of the effect of {JPG} compression on adversarial "
    "images}, author={Dziugaite, Gintare Karolina and Ghahramani, Zoubin and Roy, Daniel M.}, "
    "journal={arXiv:1608.00853}, year={2016}}"
)
EFROS_QUILTING = (
    "@inproceedings{efros2001image, title={Image quilting for texture synthesis and transfer}, "
    "author={Efros, Alexei A. and Freeman, William T.}, booktitle={SIGGRAPH}, year={2001}}"
)
COHEN_SMOOTHING = (
    "@inproceedings{cohen2019certified, title={Certified adversarial robustness via randomized smoothing}, "
    "author={Cohen, Jeremy and Rosenfeld, Elan and Kolter, J. Zico}, booktitle={ICML}, year={2019}}"
)
