"""A small network with named layers, images of three colours, and options that make library attacks quick."""

import torch
from torch import nn

from robench.model.interface import Model
from robench.model.tested_network import TestedNetwork

SHAPE = (3, 12, 12)
LAYER = {"feature_layer_cfg": "conv2"}
FEW = {"steps": 3}
ITER = {"max_iter": 3}
OPTIONS = {
    "torchattacks/CW": FEW,
    "torchattacks/SPSA": {"nb_sample": 4},
    "torchattacks/JSMA": {"gamma": 0.02},
    "torchattacks/EADL1": {"binary_search_steps": 2, "max_iterations": 10},
    "torchattacks/EADEN": {"binary_search_steps": 2, "max_iterations": 10},
    "torchattacks/FAB": FEW,
    "torchattacks/Square": {"n_queries": 10},
    "torchattacks/DeepFool": {"steps": 5},
    "torchattacks/SparseFool": {"steps": 2, "lam": 3},
    "torchattacks/OnePixel": {"steps": 2, "popsize": 5},
    "torchattacks/Pixle": {"restarts": 2, "max_iterations": 2},
    "torchattacks/PIFGSM": {"num_iter_set": 3},
    "torchattacks/PIFGSMPP": {"num_iter_set": 3},
    "torchattacks/PGDRS": {**FEW, "noise_batch_size": 2},
    "torchattacks/PGDRSL2": {**FEW, "noise_batch_size": 2},
    "foolbox/VirtualAdversarialAttack": FEW,
    "foolbox/DDNAttack": FEW,
    "foolbox/L2CarliniWagnerAttack": {"binary_search_steps": 2, "steps": 10},
    "foolbox/EADAttack": {"binary_search_steps": 2, "steps": 10},
    "foolbox/NewtonFoolAttack": FEW,
    "foolbox/L0FMNAttack": FEW,
    "foolbox/L1FMNAttack": FEW,
    "foolbox/L2FMNAttack": FEW,
    "foolbox/LInfFMNAttack": FEW,
    "foolbox/L0BrendelBethgeAttack": {"steps": 2, "binary_search_steps": 2},
    "foolbox/L1BrendelBethgeAttack": {"steps": 2, "binary_search_steps": 2},
    "foolbox/L2BrendelBethgeAttack": {"steps": 2, "binary_search_steps": 2},
    "foolbox/LinfinityBrendelBethgeAttack": {"steps": 2, "binary_search_steps": 2},
    "foolbox/BoundaryAttack": {"steps": 10},
    "foolbox/HopSkipJumpAttack": {
        "steps": 2,
        "initial_gradient_eval_steps": 5,
        "max_gradient_eval_steps": 10,
    },
    "foolbox/GenAttack": {"steps": 3, "population": 4},
    "foolbox/SpatialAttack": {"num_translations": 2, "num_rotations": 2},
    "foolbox/SaltAndPepperNoiseAttack": {"steps": 5},
    "foolbox/LinearSearchBlendedUniformNoiseAttack": {"directions": 3, "steps": 5},
    "foolbox/GaussianBlurAttack": {"steps": 5},
    "foolbox/LinearSearchContrastReductionAttack": {"steps": 5},
    "foolbox/L2RepeatedAdditiveGaussianNoiseAttack": {"repeats": 3},
    "foolbox/L2RepeatedAdditiveUniformNoiseAttack": {"repeats": 3},
    "foolbox/LinfRepeatedAdditiveUniformNoiseAttack": {"repeats": 3},
    "foolbox/L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack": {"repeats": 3},
    "foolbox/L2ClippingAwareRepeatedAdditiveUniformNoiseAttack": {"repeats": 3},
    "art/BasicIterativeMethod": ITER,
    "art/MomentumIterativeMethod": ITER,
    "art/ProjectedGradientDescent": ITER,
    "art/ProjectedGradientDescentNumpy": ITER,
    "art/ProjectedGradientDescentPyTorch": ITER,
    "art/AutoProjectedGradientDescent": {**ITER, "nb_random_init": 1, "loss_type": "cross_entropy"},
    "art/AutoConjugateGradient": {**ITER, "nb_random_init": 1, "loss_type": "cross_entropy"},
    "art/RescalingAutoConjugateGradient": {**ITER, "nb_random_init": 1, "loss_type": "cross_entropy"},
    "art/SquareAttack": ITER,
    "art/BoundaryAttack": {"max_iter": 5, "num_trial": 2, "sample_size": 2, "init_size": 10},
    "art/BrendelBethgeAttack": {"steps": 2, "binary_search_steps": 2, "init_size": 20},
    "art/HopSkipJump": {"max_iter": 2, "max_eval": 10, "init_eval": 5, "init_size": 10},
    "art/GeoDA": {"max_iter": 300, "sub_dim": 5},
    "art/SignOPTAttack": {"num_trial": 3, "max_iter": 2, "query_limit": 50, "k": 3},
    "art/SimBA": {"max_iter": 5},
    "art/ZooAttack": {"max_iter": 2, "nb_parallel": 4, "use_resize": False, "use_importance": False},
    "art/PixelAttack": {"max_iter": 1, "th": 2},
    "art/ThresholdAttack": {"max_iter": 1, "th": 20},
    "art/CarliniL2Method": {**ITER, "binary_search_steps": 2},
    "art/CarliniLInfMethod": {**ITER, "largest_const": 0.01},
    "art/CarliniL0Method": {**ITER, "binary_search_steps": 2},
    "art/ElasticNet": {**ITER, "binary_search_steps": 2},
    "art/DeepFool": ITER,
    "art/NewtonFool": ITER,
    "art/SaliencyMapMethod": {"gamma": 0.05},
    "art/VirtualAdversarialMethod": ITER,
    "art/UniversalPerturbation": {"max_iter": 1, "attacker_params": {"max_iter": 2}},
    "art/TargetedUniversalPerturbation": {"max_iter": 1},
    "art/ShadowAttack": {"nb_steps": 3},
    "art/SpatialTransformation": {"max_rotation": 20.0, "num_rotations": 2},
    "art/CompositeAdversarialAttackPyTorch": {"max_iter": 1, "max_inner_iter": 2},
    "art/Wasserstein": {
        "max_iter": 2,
        "eps_iter": 1,
        "conjugate_sinkhorn_max_iter": 5,
        "projected_sinkhorn_max_iter": 5,
    },
    "adv_lib/alma": {"num_steps": 20},
    "adv_lib/apgd": {"n_iter": 5},
    "adv_lib/apgd_targeted": {"n_iter": 5},
    "adv_lib/carlini_wagner_l2": {"binary_search_steps": 2, "max_iterations": 10},
    "adv_lib/carlini_wagner_linf": {"max_iterations": 5, "largest_const": 0.01},
    "adv_lib/ddn": FEW,
    "adv_lib/df": FEW,
    "adv_lib/fab": {"n_iter": 3},
    "adv_lib/fmn": FEW,
    "adv_lib/perc_al": {"max_iterations": 3},
    "adv_lib/pdgd": {"num_steps": 5},
    "adv_lib/pdpgd": {"num_steps": 5},
    "adv_lib/pgd_linf": FEW,
    "adv_lib/sigma_zero": {"num_steps": 5},
    "adv_lib/fga": {"max_iter": 3},
    "adv_lib/vfga": {"max_iter": 3},
    "adv_lib/str_attack": {"binary_search_steps": 2, "max_iterations": 3, "retrain": False},
    "adv_lib/sdf": {"steps": 2, "df_steps": 3},
    "adv_lib/tr": {"iter": 3},
    "torchattack/DR": {**FEW, **LAYER},
    "torchattack/FIA": {**FEW, **LAYER, "num_ens": 2},
    "torchattack/NAA": {**FEW, **LAYER, "num_ens": 2},
    "torchattack/DANAA": {**FEW, **LAYER, "num_ens": 2},
    "torchattack/ILPD": {**FEW, **LAYER},
    "torchattack/BFA": {**FEW, **LAYER, "num_ens": 2},
    "torchattack/DeepFool": FEW,
}
"""Few steps, queries or restarts; attacks that are not here are quick as they are."""


class Layers(nn.Module):
    """Two convolutions with names, activations and a pooling layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.ReLU()
        self.pool = nn.AvgPool2d(2)
        self.fc = nn.Linear(8 * 3 * 3, 10)
        self.register_buffer("usual", torch.zeros(10))

    def forward(self, x):
        features = self.act(self.bn(self.conv2(self.relu(self.conv1(x)))))
        scores = self.fc(4 * self.pool(features).flatten(1))
        return scores - self.usual


def layered_model():
    """A network behind its door, in training mode with one frozen weight, so that any change shows."""

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Layers().eval()
        with torch.no_grad():  # no class is the usual one, so that noise too can change the label
            for layer in (net.conv1, net.conv2, net.fc):
                layer.weight.mul_(2)
            net.usual.copy_(net(torch.rand(100, *SHAPE)).mean(dim=0))
    net.train()
    net.conv1.weight.requires_grad_(False)
    net.fc.bias.grad = torch.ones_like(net.fc.bias)
    return Model(name="layers", net=TestedNetwork(net), classes=10)
