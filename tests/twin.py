"""The engine in plain NumPy and double precision: what every result is compared with."""

import itertools

import numpy as np


def relative(error, of):
    return 0.0 if error == 0 else float(np.divide(error, of))


def integrate(function, image, baselines, target, alphas, weights, half_weights=None, sample=False):
    """Integrated gradients of one image and target over a stack of baselines, with errors."""
    image = image.astype(np.float64)
    runs, differences, variances, pixel_variances, jumps = [], [], [], [], []
    for baseline in baselines.astype(np.float64):
        distance = image - baseline
        points = np.float32([baseline + alpha * distance for alpha in alphas])
        _, gradients = function(points, np.full(len(alphas), target))
        gradients = np.float64(np.float32(gradients))
        total = distance * np.tensordot(weights, gradients, axes=1)
        runs.append(total)
        if half_weights is not None:
            differences.append(total - distance * np.tensordot(half_weights, gradients, axes=1))
            width = np.diff(alphas)[:, None, None, None]
            jump = np.diff(gradients, axis=0) * distance
            variances.append(np.sum((width * jump) ** 2, axis=0) / 12)
            pixel_variances.append(np.sum((width * jump).mean(axis=3) ** 2, axis=0) / 12)
            jumps.append(np.sum(jump**2, axis=(1, 2, 3)))
    m = len(runs)
    mean = np.mean(runs, axis=0)
    norm = np.linalg.norm(mean)
    result = {"attributions": mean, "quadrature_error": np.nan, "baseline_error": np.nan}
    spread = np.var(runs, axis=0, ddof=1) / m if m > 1 else np.zeros_like(mean)
    if m > 1:
        result["baseline_error"] = relative(np.sqrt(spread.sum()), norm)
    if half_weights is not None:
        factor = error_factor(np.diff(alphas), np.array(jumps))
        estimate = factor * np.linalg.norm(np.mean(differences, axis=0))
        variance = np.sum(variances, axis=0) / m**2
        scaled = variance * relative(estimate**2, variance.sum())
        result["quadrature_error"] = relative(estimate, norm)
        result["error_map"] = np.sqrt(scaled + spread * sample)
        pixel_variance = np.sum(pixel_variances, axis=0) / m**2
        pixel_estimate = factor * np.linalg.norm(np.mean(differences, axis=0).mean(axis=2))
        scaled = pixel_variance * relative(pixel_estimate**2, pixel_variance.sum())
        pixel_spread = np.var(np.mean(runs, axis=3), axis=0, ddof=1) / m if m > 1 else 0
        result["pixel_error_map"] = np.sqrt(scaled + pixel_spread * sample)
    return result


def half_weights(alphas):
    """The trapezoid on every other node; with an odd number of intervals the last is kept."""
    kept = list(range(0, len(alphas), 2))
    if kept[-1] != len(alphas) - 1:
        kept.append(len(alphas) - 1)
    weights = np.zeros(len(alphas))
    for a, b in itertools.pairwise(kept):
        weights[[a, b]] += (alphas[b] - alphas[a]) / 2
    return weights


def error_factor(widths, jump_squares):
    """What ||T - T_half|| is multiplied with: 1 / sqrt(3) on equal intervals.

    In general the root of what is expected of the squared error, sum h^2 J^2 / 12, over what is
    expected of the squared difference, sum (b^2 J_a^2 + a^2 J_b^2) / 4 over the pairs of intervals.
    `jump_squares` is (paths, intervals).
    """
    if np.allclose(widths, widths[0], rtol=1e-9, atol=0):
        return 1 / np.sqrt(3)
    paired = len(widths) // 2 * 2
    a, b = widths[0:paired:2], widths[1:paired:2]
    of_a, of_b = jump_squares[:, 0:paired:2], jump_squares[:, 1:paired:2]
    error = np.sum(a**2 * of_a + b**2 * of_b) / 12
    difference = np.sum(b**2 * of_a + a**2 * of_b) / 4
    return np.sqrt(relative(error, difference))


def refine(function, image, baselines, targets, tolerance, max_evaluations):
    """Nested bisection of one image's paths: the nodes of each, and what they give.

    Starts with 9 even nodes a path; a round halves the max(4, nodes // 8) intervals of all paths
    with the largest width * ||jump||; from 17 nodes a path on it ends when the estimate is within
    the tolerance for every target.
    """
    image, baselines = image.astype(np.float64), baselines.astype(np.float64)
    distances = image - baselines
    meshes = [dict.fromkeys(np.linspace(0, 1, 9)) for _ in baselines]
    while True:
        for mesh, baseline, distance in zip(meshes, baselines, distances, strict=True):
            for alpha in [alpha for alpha, gradient in mesh.items() if gradient is None]:
                points = np.float32([baseline + alpha * distance] * len(targets))
                mesh[alpha] = np.float64(np.float32(function(points, np.array(targets))[1]))
        nodes = [np.array(sorted(mesh)) for mesh in meshes]
        sides = [
            np.stack([mesh[alpha] for alpha in alphas]) * distance
            for mesh, alphas, distance in zip(meshes, nodes, distances, strict=True)
        ]
        squares = [np.sum(np.diff(side, axis=0) ** 2, axis=(1, 2, 3, 4)) for side in sides]
        estimate, total = estimate_error(nodes, sides, squares)
        count = sum(map(len, nodes))
        room = min(max(4, count // 8), max_evaluations - count)
        if room == 0 or (count >= 17 * len(meshes) and estimate.max() <= tolerance):
            return nodes, total, estimate
        errors = [
            (-width * np.sqrt(square), path, k)
            for path, (alphas, each) in enumerate(zip(nodes, squares, strict=True))
            for k, (width, square) in enumerate(zip(np.diff(alphas), each, strict=True))
        ]
        for _, path, k in sorted(errors)[:room]:
            meshes[path][(nodes[path][k] + nodes[path][k + 1]) / 2] = None


def estimate_error(nodes, sides, squares):
    """Return the relative error (T) of attributions on uneven nodes, and them (T, H, W, C).

    `sides` holds gradients times distance, (nodes, T, H, W, C) for each path.
    """
    total = difference = error = expected = odd = 0
    for alphas, side, square in zip(nodes, sides, squares, strict=True):
        weights = np.convolve(np.r_[0, np.diff(alphas), 0], [0.5, 0.5], "valid")
        total = total + np.tensordot(weights, side, axes=1) / len(nodes)
        half = np.tensordot(weights - half_weights(alphas), side, axes=1)
        difference = difference + half / len(nodes)
        widths = np.diff(alphas)
        paired = len(widths) // 2 * 2
        a, b = widths[0:paired:2], widths[1:paired:2]
        of_a, of_b = square[0:paired:2], square[1:paired:2]
        error += np.sum(a**2 * of_a + b**2 * of_b) / 12
        expected += np.sum(b**2 * of_a + a**2 * of_b) / 4
        odd += np.sum(widths[paired:] ** 2 * square[paired:]) / 12 / len(nodes) ** 2
    norms = np.sqrt(np.sum(total**2, axis=(1, 2, 3)))
    squares = relative(error, expected) * np.sum(difference**2, axis=(1, 2, 3)) + odd
    estimates = np.sqrt(squares)
    return np.array([relative(e, n) for e, n in zip(estimates, norms, strict=True)]), total
