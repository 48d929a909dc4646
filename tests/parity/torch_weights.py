"""For every backbone: a state_dict as PyTorch has it, given to lvtc by --weights, and the logits of both on the same images.
usage: torch_weights.py SOURCE_FOLDER BUILD_FOLDER WORK_FOLDER; run by test_torch_weights.sh"""
import os
import subprocess
import sys

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

import backbones_torch

# What timm's CoaT lists again below each block that shares it; CoaT-Lite has the first two.
AGAIN = [("serial_blocks*.cpe.* = -", ".cpe."), ("*.crpe.conv_list.* = -", ".crpe."),
         ("parallel_blocks.*.mlp3.* = -", ".mlp3."), ("parallel_blocks.*.mlp4.* = -", ".mlp4.")]


def check(backbone, source, build, work):
    def file(kind):
        return os.path.join(work, f"{backbone.name}.{kind}")

    torch.manual_seed(1)
    network = backbone.make().train()
    with torch.no_grad():
        for p in network.parameters():  # no tensor at its start: norms that begin at 0 would hide what comes before
            p.add_(torch.randn_like(p) * 0.1)
        network(torch.randn(8, 3, 32, 32))  # running statistics of their own
    network.eval()
    safetensors.torch.save_file({k: v.clone().contiguous() for k, v in network.state_dict().items()}, file("weights"))
    with open(file("map"), "w") as f:
        f.write("\n".join([line for line, part in AGAIN if any(part in k for k in network.state_dict())] +
                          [f"{backbone.head}.* = accumulation.*", "* = *"]) + "\n")

    settings = ["method=finetune", "classifiers=1", "classifier_bias=true", f"classes={backbones_torch.CLASSES}", "batch=4",
                "predict_batch=4", *backbone.settings]
    subprocess.run([os.path.join(build, "lvtc"), os.path.join(source, "models", backbone.model + ".lvt"), "-o", file("lvtx"),
                    "--weights", file("weights"), "--map", file("map")] + [w for s in settings for w in ("--set", s)],
                   check=True)
    subprocess.run([os.path.join(build, "lvt-run"), "step", file("lvtx"), "--entry", "predict", "--save-inputs", file("in"),
                    "--save-outputs", file("out")], check=True, stdout=subprocess.DEVNULL)
    x = torch.from_numpy(safetensors.numpy.load_file(file("in"))["x"][0])  # of the first step
    x = x.permute(0, 3, 1, 2)
    with torch.no_grad():
        want = network(x).numpy()
    got = safetensors.numpy.load_file(file("out"))["logits"].reshape(want.shape)
    error = np.abs(got - want).max() / np.abs(want).max()
    print(f"{backbone.name}: {len(network.state_dict())} tensors, logits differ by {error:.2g} of the largest")
    # f32 on both sides, sums in another order and a dozen layers: 1e-6 is usual
    assert want.std() > 0.01 and error < 1e-5, (got, want)


for backbone in backbones_torch.BACKBONES:
    check(backbone, *sys.argv[1:])
