"""The token pooling against a loop over cells, heads, latents and tokens."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tilegrn.model.net.attention import TokenAttention, WindowPool, gated_linear, pool_tokens  # noqa: E402


def slow(query, key, value, present):
    cells, heads, latents, d = query.shape
    out = np.zeros((cells, heads, latents, d))
    for c in range(cells):
        tokens = [i for i in range(key.shape[2]) if present[c, i]]
        for h in range(heads):
            for q in range(latents):
                logits = np.array([query[c, h, q] @ key[c, h, i] / np.sqrt(d) for i in tokens])
                for w, i in zip(1 / (1 + np.exp(-logits)), tokens, strict=True):
                    out[c, h, q] += 6.0 / (len(tokens) + 10.0) * w * value[c, h, i]
    return out


def test_pool_equals_loop():
    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(size=(3, 2, n, 4)) for n in (5, 7, 7))
    present = np.array([[1] * 7, [1] * 3 + [0] * 4, [0] * 7], dtype=float)
    got = pool_tokens(*map(torch.from_numpy, (query, key, value, present))).numpy()
    np.testing.assert_allclose(got, slow(query, key, value, present), atol=1e-12)


def test_the_sum_keeps_the_number_of_tokens():
    one = torch.ones(1, 1, 1, 4)
    ten = torch.ones(1, 1, 10, 4)
    few, many = (pool_tokens(one, ten, ten, torch.tensor([[1.0] * n + [0.0] * (10 - n)])).sum() for n in (2, 8))
    assert many > 2.5 * few


def test_order_of_tokens_does_not_matter():
    torch.manual_seed(0)
    module = TokenAttention(16, 4, 0.0).double().eval()
    latents, tokens = torch.randn(2, 3, 16).double(), torch.randn(2, 9, 16).double()
    present = torch.ones(2, 9).double()
    present[1, 6:] = 0
    order = torch.randperm(9)
    before = module(latents, tokens, present)
    torch.testing.assert_close(before, module(latents, tokens[:, order], present[:, order]))
    torch.testing.assert_close(before[1:], module(latents[1:], tokens[1:, :6], present[1:, :6]))


def test_pooled_windows_equal_a_loop():
    torch.manual_seed(1)
    module = WindowPool(16, 5, 0.0).double().eval()
    latents, table = torch.randn(3, 4, 16).double(), torch.randn(9, 16).double()
    opened = [[0, 4, 8], [], [1, 2, 3, 4, 5]]
    there = torch.rand(8).double()
    start = torch.tensor([0, 3, 3])
    window = torch.tensor([w for windows in opened for w in windows])
    got = module(latents, module.sums(table, window, start, there))
    weights = {k: v.numpy() for k, v in module.state_dict().items()}
    both = table.numpy() @ weights["said.weight"].T + weights["said.bias"]
    said = both[:, :5] / (1 + np.exp(-both[:, 5:]))
    k = 0
    for c, windows in enumerate(opened):
        total, n = np.zeros(5), 0.0
        for w in windows:
            total, n, k = total + there[k].item() * said[w], n + there[k].item(), k + 1
        for latent in range(4):
            x = latents[c, latent]
            gate = torch.sigmoid(module.pick(module.norm(x))).detach().numpy()
            read = x + module.out(torch.from_numpy(gate * total * 6.0 / (n + 10.0)))
            torch.testing.assert_close(got[c, latent], read + module.feed(read))


def test_a_gated_layer_in_pieces_is_the_whole_one(monkeypatch):
    monkeypatch.setattr("tilegrn.model.net.attention._ROWS", 3)
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 6).double()
    x = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    weights = [x, *layer.parameters()]
    given = torch.randn(8, 3, dtype=torch.float64)
    value, gate = layer(x).chunk(2, dim=1)
    plain = value / (1 + torch.exp(-gate))
    expected = torch.autograd.grad(plain, weights, given)
    found = gated_linear(x, layer)
    torch.testing.assert_close(found, plain)
    for mine, its in zip(torch.autograd.grad(found, weights, given), expected, strict=True):
        torch.testing.assert_close(mine, its)
    assert torch.autograd.gradcheck(lambda x: gated_linear(x, layer), x)
