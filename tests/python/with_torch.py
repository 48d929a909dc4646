"""A DataLoader of PyTorch feeds a session; weights go there and come back."""
import numpy as np
import torch

import lvt

p = lvt.Program("tiny.lvtx")
s = p.session(threads=1, seed=1)
torch.manual_seed(0)
y = torch.arange(320) % 10
x = torch.rand(320, 8, 8, 1)
x[torch.arange(320), y // 2, (y % 2) * 4, 0] += 3
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32, shuffle=True)
losses = [float(s.run("train_new", x=bx, y=by, mask=torch.ones(10), lr=0.1)["loss"]) for _ in range(6) for bx, by in loader]
assert losses[-1] < losses[0] / 2, (losses[0], losses[-1])

# A layer of the network in PyTorch: the classifier on what it is given gives the same logits.
weights = {n: torch.from_numpy(v) for n, v in s.state_dict(parameters_only=True).items()}
w = weights["accumulation.weight"]
assert w.dtype == torch.float32 and torch.equal(w, torch.from_numpy(s.states["accumulation.weight"].copy()))
out = s.run("predict", x=x[:64])["logits"]
grown = {n: torch.nn.Parameter(v * (2 if n == "accumulation.weight" else 1)) for n, v in weights.items()}
t = p.session(threads=1)
t.load_state_dict(s.state_dict())
t.load_state_dict(grown)  # parameters with gradients, all of them
assert np.array_equal(t.run("predict", x=x[:64])["logits"], 2 * out)
t.states["accumulation.weight"] = w.to(torch.bfloat16)
assert np.abs(t.states["accumulation.weight"] / w.numpy() - 1).max() < 2**-8
try:
    from safetensors.torch import load_file, save_file
except ImportError:
    pass
else:
    lvt.write_safetensors("w.safetensors", weights)
    assert all(torch.equal(v, weights[n]) for n, v in load_file("w.safetensors").items())
    save_file({"half": w.to(torch.bfloat16), "w": w}, "v.safetensors")
    back, _ = lvt.read_safetensors("v.safetensors")
    assert np.array_equal(back["w"], w.numpy()) and np.array_equal(back["half"], w.to(torch.bfloat16).float().numpy())
print("torch: feeds a session, takes weights and gives them")
