"""Seed programs compared with the equations of their sources, written in NumPy.

Each reference is in its source's own form, with the source's default constants, so that it can disagree with the
program; a rule for one array becomes a reference through ``each_array``.
"""

import math

import numpy as np
from parity_cases import FROM_THE_SOURCE, NumpyCase, Reference

EPS = 1e-8


def each_array(rule) -> Reference:
    """Make a reference from a rule for one array: ``rule(w, g, state, t) -> (update, state)``."""

    def reference(w, g, state, t):
        results = [rule(*array, t) for array in zip(w, g, state or [None] * len(w), strict=True)]
        return [update for update, _ in results], [after for _, after in results]

    return reference


def norm_of_all(arrays):
    """Return the Euclidean norm over all arrays together."""
    return math.sqrt(sum(np.sum(x**2) for x in arrays))


def averaged(average, x, decay):
    """Return the next exponential moving average; the average starts at zero."""
    return decay * (0.0 if average is None else average) + (1 - decay) * x


def moments(g, state, t, b1=0.9, b2=0.999):
    """Return Adam's two averages with bias correction, and without it."""
    m, v = state or (None, None)
    m, v = averaged(m, g, b1), averaged(v, g**2, b2)
    return m / (1 - b1**t), v / (1 - b2**t), (m, v)


def accelerated_gradient(w, g, state, t):
    """Constant step 0.1: x_k = y_k - 0.1 g, then y_k+1 = x_k + (a_k - 1) (x_k - x_k-1) / a_k+1, from a_0 = 1."""
    before, a = state or (w, 1.0)
    x = [y - 0.1 * slope for y, slope in zip(w, g, strict=True)]
    a_next = (1 + math.sqrt(4 * a**2 + 1)) / 2
    ahead = [new + (a - 1) * (new - old) / a_next for new, old in zip(x, before, strict=True)]
    return [y - y_next for y, y_next in zip(w, ahead, strict=True)], (x, a_next)


def adabound(w, g, state, t, lr=1e-3, final_lr=0.1, gamma=1e-3, b1=0.9, b2=0.999):
    _, _, (m, v) = moments(g, state, t, b1, b2)
    rate = lr * math.sqrt(1 - b2**t) / (1 - b1**t) / (np.sqrt(v) + EPS)
    lower = final_lr * (1 - 1 / (gamma * t + 1))
    upper = final_lr * (1 + 1 / (gamma * t))
    return np.clip(rate, lower, upper) * m, (m, v)


def adagrad_norm(w, g, state, t, eta=1.0):
    b2 = (state or 0.0) + norm_of_all(g) ** 2
    return [eta / math.sqrt(b2) * x for x in g], b2


def adai(w, g, state, t, lr=1.0, b0=0.1, b2=0.99, eps=1e-3):
    m, v, product = state or ([0.0] * len(g), [None] * len(g), [1.0] * len(g))
    v = [averaged(old, x**2, b2) for old, x in zip(v, g, strict=True)]
    vhat = [x / (1 - b2**t) for x in v]
    average = np.mean(np.concatenate([np.ravel(x) for x in vhat]))
    b1 = [np.clip(1 - b0 / average * x, 0, 1 - eps) for x in vhat]
    m = [b * old + (1 - b) * x for b, old, x in zip(b1, m, g, strict=True)]
    product = [old * b for old, b in zip(product, b1, strict=True)]
    return [lr * x / (1 - p) for x, p in zip(m, product, strict=True)], (m, v, product)


def adamod(w, g, state, t, lr=1e-3, b3=0.999):
    averages, s = state or (None, None)
    mhat, vhat, averages = moments(g, averages, t)
    eta = lr / (np.sqrt(vhat) + EPS)
    s = averaged(s, eta, b3)
    return np.minimum(eta, s) * mhat, (averages, s)


def adamw_paper(w, g, state, t, lr=1e-3, wd=0.01):
    _, _, (m, v) = moments(g, state, t)
    return lr * (m / (np.sqrt(v) + EPS) + wd * w), (m, v)


def adanorm(w, g, state, t, lr=1e-3, gamma=0.95, b1=0.9, b2=0.999):
    m, v, e = state or (None, None, None)
    length = np.sqrt(np.sum(g**2))
    e = averaged(e, length, gamma)
    s = e / length * g if e > length else g
    m, v = averaged(m, s, b1), averaged(v, g**2, b2)
    return lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + EPS), (m, v, e)


def addsign(w, g, state, t, lr=0.1, alpha=1.0, b=0.9):
    m = averaged(state, g, b)
    return lr * (alpha + np.sign(g) * np.sign(m)) * g, m


def aggmo(w, g, state, t, gamma=0.1, betas=(0.0, 0.9, 0.99)):
    velocities = [b * v - g for b, v in zip(betas, state or [0.0] * len(betas), strict=True)]
    return -gamma / len(betas) * sum(velocities), velocities


def cautious_adamw(w, g, state, t, lr=1e-3, eps=1e-6, wd=0.01):
    mhat, vhat, averages = moments(g, state, t)
    return lr * cautious(mhat / (np.sqrt(vhat) + eps), g) + lr * wd * w, averages


def cautious_lion(w, g, state, t, lr=1e-4, b1=0.9, b2=0.99, wd=0.1):
    update = np.sign(averaged(state, g, b1))
    return lr * cautious(update, g) + lr * wd * w, averaged(state, g, b2)


def cautious(update, g):
    """Zero what points against the gradient; scale the rest up by size / number, at most a thousandfold."""
    agrees = update * g > 0
    return np.where(agrees, update * min(agrees.size / max(np.count_nonzero(agrees), 1), 1000.0), 0.0)


def diffgrad(w, g, state, t, lr=1e-3):
    averages, before = state or (None, 0.0)
    mhat, vhat, averages = moments(g, averages, t)
    friction = 1 / (1 + np.exp(-np.abs(before - g)))
    return lr * friction * mhat / (np.sqrt(vhat) + EPS), (averages, g)


def grams(w, g, state, t, lr=1e-3, eps=1e-6):
    mhat, vhat, averages = moments(g, state, t)
    return lr * np.sign(g) * np.abs(mhat / (np.sqrt(vhat) + eps)), averages


def heavy_ball(w, g, state, t, lr=0.01, momentum=0.9):
    """Polyak's own form, without a velocity: x_k+1 = x_k - lr g + momentum (x_k - x_k-1)."""
    before = w if state is None else state
    return lr * g - momentum * (w - before), w


def laprop(w, g, state, t, lr=4e-4, mu=0.9, nu=0.999, eps=1e-15):
    m, n = state or (None, None)
    n = averaged(n, g**2, nu)
    m = averaged(m, g / (np.sqrt(n / (1 - nu**t)) + eps), mu)
    return lr * m / (1 - mu**t), (m, n)


def lion_of_the_search(w, g, state, t, lr=0.0002171761734643951, wd=0.4601978361606598):
    """What the paper derives from the raw winner: the sign of a momentum, as x / |x|, with two decays."""
    b1 = 0.8999999761581421
    b2 = b1 * 1.109133005142212
    clipped = [np.arcsin(x * min(1.0, 1.0 / norm_of_all(g))) for x in g]
    m = state or [None] * len(g)
    looked = [averaged(old, x, b1) for x, old in zip(clipped, m, strict=True)]
    update = [lr * (x / (np.abs(x) + EPS) + wd * weight) for x, weight in zip(looked, w, strict=True)]
    return update, [averaged(old, x, b2) for x, old in zip(clipped, m, strict=True)]


def mars(w, g, state, t, lr=3e-3, gamma=0.025, b1=0.95, b2=0.99):
    averages, before = state or (None, 0.0)
    c = g + gamma * b1 / (1 - b1) * (g - before)
    length = np.sqrt(np.sum(c**2))
    mhat, vhat, averages = moments(c / length if length > 1 else c, averages, t, b1, b2)
    return lr * mhat / (np.sqrt(vhat) + EPS), (averages, g)


def msvag(w, g, state, t, lr=0.1, b=0.9):
    m, v, averages = moments(g, state, t, b, b)
    rho = (1 - b) ** 2 * (1 - b ** (2 * t)) / ((1 - b**t) ** 2 * (1 - b**2))
    if t == 1:  # rho is 1, and nothing is known about the variance
        return lr * m, averages
    s = (v - m**2) / (1 - rho)
    return lr * m**2 / (m**2 + rho * s) * m, averages


def muon(w, g, state, t, lr=0.02, mu=0.95):
    """The authors' momentum; optax.contrib.muon also corrects its bias, scales by shape and leaves vectors to AdamW."""
    buffer = (0.0 if state is None else state) * mu + g
    ahead = g + mu * buffer
    if g.ndim < 2:
        return lr * (1 - mu) * ahead, buffer
    return lr * newton_schulz(ahead.reshape(len(g), -1)).reshape(g.shape), buffer


def newton_schulz(matrix):
    """Apply five steps of the quintic to the singular values, which has the same effect as on the matrix."""
    left, values, right = np.linalg.svd(matrix / np.linalg.norm(matrix), full_matrices=False)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ np.diag(values) @ right


def normalized_sgd(w, g, state, t, lr=0.01):
    return [lr * x / norm_of_all(g) for x in g], None


def padam(w, g, state, t, lr=0.1, p=0.125):
    averages, vmax = state or (None, 0.0)
    _, _, averages = moments(g, averages, t)
    m, v = averages
    vmax = np.maximum(vmax, v)
    return lr * m / vmax**p, (averages, vmax)


def powersign(w, g, state, t, lr=0.1, b=0.9):
    m = averaged(state, g, b)
    return lr * np.e ** (np.sign(g) * np.sign(m)) * g, m


def qhadam(w, g, state, t, lr=1e-3, b1=0.995, b2=0.999, nu1=0.7, nu2=1.0):
    mhat, vhat, averages = moments(g, state, t, b1, b2)
    root = np.sqrt((1 - nu2) * g**2 + nu2 * vhat) + EPS
    return lr * ((1 - nu1) * g + nu1 * mhat) / root, averages


def qhm(w, g, state, t, alpha=1.0, b=0.999, nu=0.7):
    average = averaged(state, g, b)
    return alpha * ((1 - nu) * g + nu * average), average


def sgdw(w, g, state, t, alpha=0.01, b1=0.9, wd=1e-4):
    m = b1 * (0.0 if state is None else state) + alpha * g
    return m + wd * w, m


def tiger(w, g, state, t, lr=1e-3, b=0.965, wd=0.01):
    m = averaged(state, g, b)
    return lr * (np.sign(m) + wd * w), m


CASES = (
    NumpyCase("accelerated_gradient", FROM_THE_SOURCE, accelerated_gradient),
    NumpyCase("adabound", FROM_THE_SOURCE, each_array(adabound)),
    NumpyCase("adagrad_norm", FROM_THE_SOURCE, adagrad_norm),
    NumpyCase("adai", FROM_THE_SOURCE, adai),
    NumpyCase("adamod", FROM_THE_SOURCE, each_array(adamod)),
    NumpyCase("adamw_paper", FROM_THE_SOURCE, each_array(adamw_paper)),
    NumpyCase("adanorm", FROM_THE_SOURCE, each_array(adanorm)),
    NumpyCase("addsign", FROM_THE_SOURCE, each_array(addsign)),
    NumpyCase("aggmo", FROM_THE_SOURCE, each_array(aggmo)),
    NumpyCase("cautious_adamw", FROM_THE_SOURCE, each_array(cautious_adamw)),
    NumpyCase("cautious_lion", FROM_THE_SOURCE, each_array(cautious_lion)),
    NumpyCase("diffgrad", FROM_THE_SOURCE, each_array(diffgrad)),
    NumpyCase("grams", FROM_THE_SOURCE, each_array(grams)),
    NumpyCase("heavy_ball", FROM_THE_SOURCE, each_array(heavy_ball)),
    NumpyCase("laprop", FROM_THE_SOURCE, each_array(laprop)),
    NumpyCase("lion_pruned", FROM_THE_SOURCE, lion_of_the_search),
    NumpyCase("lion_raw", FROM_THE_SOURCE, lion_of_the_search),
    NumpyCase("mars", FROM_THE_SOURCE, each_array(mars)),
    NumpyCase("msvag", FROM_THE_SOURCE, each_array(msvag)),
    NumpyCase("muon", FROM_THE_SOURCE, each_array(muon)),
    NumpyCase("normalized_sgd", FROM_THE_SOURCE, normalized_sgd),
    NumpyCase("padam", FROM_THE_SOURCE, each_array(padam)),
    NumpyCase("powersign", FROM_THE_SOURCE, each_array(powersign)),
    NumpyCase("qhadam", FROM_THE_SOURCE, each_array(qhadam)),
    NumpyCase("qhm", FROM_THE_SOURCE, each_array(qhm)),
    NumpyCase("sgdw", FROM_THE_SOURCE, each_array(sgdw)),
    NumpyCase("tiger", FROM_THE_SOURCE, each_array(tiger)),
)
