"""BibTeX of the papers that attacks come from, and of libraries; equal keys mean equal text everywhere."""

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
SITAWARIN_DEEP_KNN = (
    "@inproceedings{sitawarin2019robustness, title={On the robustness of deep k-nearest neighbors}, "
    "author={Sitawarin, Chawin and Wagner, David}, booktitle={IEEE Security and Privacy Workshops}, "
    "year={2019}, note={arXiv:1903.08333}}"
)
WANG_NEAREST = (
    "@article{wang2019evaluating, title={Evaluating the robustness of nearest neighbor classifiers: a "
    "primal-dual perspective}, author={Wang, Lu and Liu, Xuanqing and Yi, Jinfeng and Zhou, Zhi-Hua and "
    "Hsieh, Cho-Jui}, journal={arXiv:1906.03972}, year={2019}}"
)
CHEN_TRANSDUCTION = (
    "@inproceedings{chen2022towards, title={Towards evaluating the robustness of neural networks learned by "
    "transduction}, author={Chen, Jiefeng and Wu, Xi and Guo, Yang and Liang, Yingyu and Jha, Somesh}, "
    "booktitle={ICLR}, year={2022}, note={arXiv:2110.14735}}"
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
ANDRIUSHCHENKO_SQUARE = (
    "@inproceedings{andriushchenko2020square, title={Square attack: a query-efficient black-box "
    "adversarial attack via random search}, author={Andriushchenko, Maksym and Croce, Francesco and "
    "Flammarion, Nicolas and Hein, Matthias}, booktitle={ECCV}, year={2020}}"
)
CARLINI_EVALUATING = (
    "@article{carlini2019evaluating, title={On evaluating adversarial robustness}, author={Carlini, "
    "Nicholas and Athalye, Anish and Papernot, Nicolas and Brendel, Wieland and Rauber, Jonas and "
    "Tsipras, Dimitris and Goodfellow, Ian and Madry, Aleksander and Kurakin, Alexey}, "
    "journal={arXiv:1902.06705}, year={2019}}"
)
CARLINI_WAGNER = (
    "@inproceedings{carlini2017towards, title={Towards evaluating the robustness of neural networks}, "
    "author={Carlini, Nicholas and Wagner, David}, booktitle={IEEE Symposium on Security and Privacy}, "
    "year={2017}}"
)
CHEN_HOPSKIPJUMP = (
    "@inproceedings{chen2020hopskipjumpattack, title={HopSkipJumpAttack: a query-efficient "
    "decision-based attack}, author={Chen, Jianbo and Jordan, Michael I. and Wainwright, Martin J.}, "
    "booktitle={IEEE Symposium on Security and Privacy}, year={2020}}"
)
CROCE_AUTOATTACK = (
    "@inproceedings{croce2020reliable, title={Reliable evaluation of adversarial robustness with an "
    "ensemble of diverse parameter-free attacks}, author={Croce, Francesco and Hein, Matthias}, "
    "booktitle={ICML}, year={2020}}"
)
CROCE_FAB = (
    "@inproceedings{croce2020minimally, title={Minimally distorted adversarial examples with a fast "
    "adaptive boundary attack}, author={Croce, Francesco and Hein, Matthias}, booktitle={ICML}, "
    "year={2020}}"
)
DONG_MOMENTUM = (
    "@inproceedings{dong2018boosting, title={Boosting adversarial attacks with momentum}, author={Dong, "
    "Yinpeng and Liao, Fangzhou and Pang, Tianyu and Su, Hang and Zhu, Jun and Hu, Xiaolin and Li, "
    "Jianguo}, booktitle={CVPR}, year={2018}}"
)
DONG_TRANSLATION = (
    "@inproceedings{dong2019evading, title={Evading defenses to transferable adversarial examples by "
    "translation-invariant attacks}, author={Dong, Yinpeng and Pang, Tianyu and Su, Hang and Zhu, Jun}, "
    "booktitle={CVPR}, year={2019}}"
)
GOODFELLOW_EXPLAINING = (
    "@inproceedings{goodfellow2015explaining, title={Explaining and harnessing adversarial examples}, "
    "author={Goodfellow, Ian J. and Shlens, Jonathon and Szegedy, Christian}, booktitle={ICLR}, "
    "year={2015}}"
)
KURAKIN_PHYSICAL = (
    "@inproceedings{kurakin2017physical, title={Adversarial examples in the physical world}, "
    "author={Kurakin, Alexey and Goodfellow, Ian and Bengio, Samy}, booktitle={ICLR Workshop}, "
    "year={2017}}"
)
MADRY = (
    "@inproceedings{madry2018towards, title={Towards deep learning models resistant to adversarial "
    "attacks}, author={Madry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, "
    "Dimitris and Vladu, Adrian}, booktitle={ICLR}, year={2018}}"
)
MOOSAVI_DEEPFOOL = (
    "@inproceedings{moosavi2016deepfool, title={DeepFool: a simple and accurate method to fool deep "
    "neural networks}, author={Moosavi-Dezfooli, Seyed-Mohsen and Fawzi, Alhussein and Frossard, "
    "Pascal}, booktitle={CVPR}, year={2016}}"
)
MOOSAVI_UNIVERSAL = (
    "@inproceedings{moosavi2017universal, title={Universal adversarial perturbations}, "
    "author={Moosavi-Dezfooli, Seyed-Mohsen and Fawzi, Alhussein and Fawzi, Omar and Frossard, Pascal}, "
    "booktitle={CVPR}, year={2017}}"
)
PINTOR_FMN = (
    "@inproceedings{pintor2021fast, title={Fast minimum-norm adversarial attacks through adaptive norm "
    "constraints}, author={Pintor, Maura and Roli, Fabio and Brendel, Wieland and Biggio, Battista}, "
    "booktitle={NeurIPS}, year={2021}}"
)
CINA_SIGMA_ZERO = (
    "@inproceedings{cina2025sigma, title={$\\sigma$-zero: gradient-based optimization of $\\ell_0$-norm "
    "adversarial examples}, author={Cin{\\`a}, Antonio Emanuele and Villani, Francesco and Pintor, Maura and "
    'Sch{\\"o}nherr, Lea and Biggio, Battista and Pelillo, Marcello}, booktitle={ICLR}, year={2025}}'
)
MATYASKO_PDPGD = (
    "@article{matyasko2021pdpgd, title={{PDPGD}: primal-dual proximal gradient descent adversarial attack}, "
    "author={Matyasko, Alexander and Chau, Lap-Pui}, journal={arXiv:2106.01538}, year={2021}}"
)
RONY_DDN = (
    "@inproceedings{rony2019decoupling, title={Decoupling direction and norm for efficient "
    "gradient-based L2 adversarial attacks and defenses}, author={Rony, Jerome and Hafemann, Luiz G. and "
    "Oliveira, Luiz S. and Ben Ayed, Ismail and Sabourin, Robert and Granger, Eric}, booktitle={CVPR}, "
    "year={2019}}"
)
UESATO_RISK = (
    "@inproceedings{uesato2018adversarial, title={Adversarial risk and the dangers of evaluating against "
    "weak attacks}, author={Uesato, Jonathan and O'Donoghue, Brendan and Kohli, Pushmeet and van den "
    "Oord, Aaron}, booktitle={ICML}, year={2018}}"
)
XIE_DIVERSITY = (
    "@inproceedings{xie2019improving, title={Improving transferability of adversarial examples with "
    "input diversity}, author={Xie, Cihang and Zhang, Zhishuai and Zhou, Yuyin and Bai, Song and Wang, "
    "Jianyu and Ren, Zhou and Yuille, Alan L.}, booktitle={CVPR}, year={2019}}"
)
TRAMER_ENSEMBLE = (
    "@inproceedings{tramer2018ensemble, title={Ensemble adversarial training: attacks and defenses}, "
    "author={Tram{\\`e}r, Florian and Kurakin, Alexey and Papernot, Nicolas and Goodfellow, Ian and Boneh, "
    "Dan and McDaniel, Patrick}, booktitle={ICLR}, year={2018}}"
)
WONG_FAST = (
    "@inproceedings{wong2020fast, title={Fast is better than free: revisiting adversarial training}, "
    "author={Wong, Eric and Rice, Leslie and Kolter, J. Zico}, booktitle={ICLR}, year={2020}}"
)
ZHANG_TRADES = (
    "@inproceedings{zhang2019theoretically, title={Theoretically principled trade-off between robustness "
    "and accuracy}, author={Zhang, Hongyang and Yu, Yaodong and Jiao, Jiantao and Xing, Eric P. and El "
    "Ghaoui, Laurent and Jordan, Michael I.}, booktitle={ICML}, year={2019}}"
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
ADV_LIB = (
    "@misc{rony2020adversarial, title={Adversarial library}, author={Rony, J{\\'e}r{\\^o}me and Ben Ayed, "
    "Ismail}, howpublished={Software}, year={2020}}"
)
TORCHATTACK = (
    "@misc{song2023torchattack, title={torchattack: a curated list of adversarial attacks in {PyTorch}, with "
    "a focus on transferable black-box attacks}, author={{spencerwooo}}, howpublished={Software}, "
    "year={2023}}"
)


def together(*entries: str) -> str:
    """Return several entries as one text."""
    return "\n".join(entries)


ZHANG_BAB = (
    "@inproceedings{zhang2022branch, title={A branch and bound framework for stronger adversarial attacks of "
    "{ReLU} networks}, author={Zhang, Huan and Wang, Shiqi and Xu, Kaidi and Wang, Yihan and Jana, Suman and "
    "Hsieh, Cho-Jui and Kolter, J. Zico}, booktitle={ICML}, year={2022}}"
)
WANG_BETA_CROWN = (
    "@inproceedings{wang2021beta, title={Beta-{CROWN}: efficient bound propagation with per-neuron split "
    "constraints for neural network robustness verification}, author={Wang, Shiqi and Zhang, Huan and Xu, "
    "Kaidi and Lin, Xue and Jana, Suman and Hsieh, Cho-Jui and Kolter, J. Zico}, booktitle={NeurIPS}, "
    "year={2021}}"
)
