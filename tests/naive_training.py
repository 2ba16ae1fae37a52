"""Slash training in plain loops, as printed: prompts, the reduced loss, and descent on the weights of each pair."""

import math


def prompt(tokens, length, lag, marker):
    """Class shown and class labelled at each position, `marker` for none."""
    period = 1 if lag == 0 else min(p for p in range(2, lag + 2) if lag % p)
    shown = [marker] * length
    for number, token in enumerate(tokens):
        shown[length - 1 - (len(tokens) - 1 - number) * period] = token
    labelled = [marker] * length
    for j in range(length - 1):
        if j >= lag:
            labelled[j] = shown[j - lag]
    return shown, labelled


def first_scores(a):
    """S_ij = exp a(i-j) / sum_{x <= i} exp a(x)"""
    rows = []
    for i in range(len(a)):
        top = max(a[:i + 1])
        total = math.fsum(math.exp(a[x] - top) for x in range(i + 1))
        rows.append([math.exp(a[i - j] - top) / total for j in range(i + 1)])
    return rows


def answer(a, C, o, shown, labelled):
    """u-bar of one prompt, by class, and the scores of both layers"""
    K, k, N = len(o), shown[-1], len(shown)
    f = [(C[k][shown[m]] if shown[m] < K else 0.0) + (o[k] if labelled[m] < K else 0.0) for m in range(N)]
    first = first_scores(a)
    B = [math.fsum(first[j][m] * f[m] for m in range(j + 1)) for j in range(N)]
    total = math.fsum(math.exp(b - max(B)) for b in B)
    second = [math.exp(b - max(B)) / total for b in B]
    u = [math.fsum(second[j] for j in range(N) if labelled[j] == n) for n in range(K)]
    return u, f, first, second, B


def loss(a, C, o, shown, labelled):
    """|u - v_k|^2 / 2"""
    u = answer(a, C, o, shown, labelled)[0]
    return math.fsum((x - (n == shown[-1])) ** 2 for n, x in enumerate(u)) / 2


def gradients(a, C, o, shown, labelled):
    """Minus the derivatives in a, C and o"""
    K, k, N = len(o), shown[-1], len(shown)
    u, f, first, second, B = answer(a, C, o, shown, labelled)
    miss = [(n == k) - x for n, x in enumerate(u)]
    mean = math.fsum(e * x for e, x in zip(miss, u))
    pull = [second[j] * ((miss[labelled[j]] if labelled[j] < K else 0.0) - mean) for j in range(N)]
    by_lag = [math.fsum(pull[j] * first[j][j - x] * (f[j - x] - B[j]) for j in range(x, N)) for x in range(N)]
    reach = [math.fsum(pull[j] * first[j][m] for j in range(m, N)) for m in range(N)]
    classes = [[math.fsum(reach[m] for m in range(N) if n == k and shown[m] == c) for c in range(K)] for n in range(K)]
    label = [math.fsum(reach[m] for m in range(N) if n == k and labelled[m] < K) for n in range(K)]
    return by_lag, classes, label


def lag_logits(q, theta, length):
    """a(x) = sum_s q_{2s-1} cos theta_s x - q_{2s} sin theta_s x"""
    return [math.fsum(q[2 * s] * math.cos(t * x) - q[2 * s + 1] * math.sin(t * x) for s, t in enumerate(theta))
            for x in range(length)]


def descend(prompts, theta, length, K, eta, steps):
    """Stage 1 on q itself, over prompts (weight, shown, labelled); q at the end and the loss before each step"""
    C, o = [[float(n == m) for m in range(K)] for n in range(K)], [0.0] * K
    q, losses = [0.0] * (2 * len(theta)), []
    for _ in range(steps):
        a = lag_logits(q, theta, length)
        losses.append(math.fsum(w * loss(a, C, o, s, y) for w, s, y in prompts))
        G = [0.0] * length
        for w, shown, labelled in prompts:
            for x, g in enumerate(gradients(a, C, o, shown, labelled)[0]):
                G[x] += w * g
        for s, t in enumerate(theta):
            q[2 * s] += eta * math.fsum(math.cos(t * x) * g for x, g in enumerate(G))
            q[2 * s + 1] -= eta * math.fsum(math.sin(t * x) * g for x, g in enumerate(G))
    return q, losses
