"""How exact each method is, against itself run far longer, and whether it says so.

    python benchmarks/methods.py [--model lite0] [--out FILE.json]

Two photographs, logit. Blur IG: estimated against true error, the truth being 2049 nodes. Guided
IG: against its own polyline, every chord of it integrated in eight steps. Expected Gradients and
SmoothGrad: the standard error that each run claims against the spread of eight runs with other
seeds; "true" is their mean distance from a run of many times as many draws. Regions are 8 x 8
patches. Then what each method takes, at its authors' defaults and to 5 %.
"""

import contenders
import harness
import models
import numpy as np

import intgrad

NODES = (17, 33, 65, 129)
GUIDED_STEPS = (50, 200)
RUNS = 8
LONG = 4
FEW_REFERENCES, MANY_REFERENCES = 7, 100
PATCHES = 8
PATHS = (
    ("picture", "picture", ""),
    ("method", "method", ""),
    ("gradients", "gradients", ""),
    ("true error", "true", ".1%"),
    ("estimated", "estimated", ".1%"),
    ("estimated / true", "ratio", ".2f"),
    ("within 1 sd", "within_1", ".0%"),
    ("within 2 sd", "within_2", ".0%"),
    ("regions: true", "region_true", ".1%"),
    ("estimated / true ", "region_ratio", ".2f"),
    ("within 1 sd ", "region_within_1", ".0%"),
    ("within 2 sd ", "region_within_2", ".0%"),
)
DRAWS = (
    ("picture", "picture", ""),
    ("method", "method", ""),
    ("gradients", "gradients", ""),
    ("spread of the runs", "spread", ".1%"),
    ("standard error", "estimated", ".1%"),
    ("standard error / spread", "ratio", ".2f"),
    ("true error", "true", ".1%"),
    ("to 5 %, by 1 / sqrt(n)", "to_5", ".0f"),
    ("regions: spread", "region_spread", ".1%"),
    ("standard error / spread ", "region_ratio", ".2f"),
    ("within 1 sd ", "region_within_1", ".0%"),
    ("within 2 sd ", "region_within_2", ".0%"),
)


def patches(image):
    return -(-max(image.shape) // PATCHES)


def pool(maps, regions):
    return np.bincount(regions.labels.ravel(), maps.sum(axis=2, dtype=np.float64).ravel())


def coverage(found, true, deviations, prefix=""):
    error = np.abs(found - true)
    return {f"{prefix}within_{k}": float(np.mean(error <= k * deviations)) for k in (1, 2)}


def compare(maps, info, true):
    """Return how far a run with an error map is from the truth, and from what it said."""
    error = harness.relative_error(maps, true)
    regions, sums = info.regions, pool(true, info.regions)
    region_error = harness.relative_error(regions.attributions, sums)
    row = {
        "gradients": info.evaluations,
        "true": error,
        "estimated": info.error,
        "ratio": info.error / error,
        **coverage(maps, true, info.error_map),
        "region_true": region_error,
    }
    if np.isnan(regions.error):  # of guided paths
        return row
    row["region_ratio"] = regions.error / region_error
    return row | coverage(regions.attributions, sums, regions.deviations, "region_")


def measure_blur(model, image, target):
    common = {"path": "blur", "output": "logit"}
    true = intgrad.integrated_gradients(model, image, target, steps=2048, **common)
    told = {"return_info": True, "error_map": True, "segments": patches(image), **common}
    aims = [{"steps": nodes - 1} for nodes in NODES]
    aims += [{"tolerance": tolerance} for tolerance in (0.1, 0.05)]
    for aim in aims:
        maps, info = intgrad.integrated_gradients(model, image, target, **aim, **told)
        name = ", ".join(f"{key}={value}" for key, value in aim.items())
        yield {"method": f"blur, {name}", **compare(maps, info, true)}
    left = intgrad.integrated_gradients(model, image, target, steps=100, rule="left", **common)
    error = harness.relative_error(left, true)
    yield {"method": "blur, its authors' 100 steps", "gradients": 100, "true": error}


def guided_polyline(model, image, target, steps):
    """Return the pictures of a guided path: a callable sees them."""
    pictures = []

    def watch(batch, targets):
        pictures.extend(batch)
        scores = np.zeros((len(batch), model.num_classes))
        return scores, model.gradients(batch, [int(t) for t in targets], output="logit")

    watched = intgrad.load_model(watch, output="logit", input_size=model.input_size)
    intgrad.integrated_gradients(
        watched, image, target, path="guided", steps=steps, output="logit", batch_size=1
    )
    return np.stack(pictures[-steps - 1 :])


def measure_guided(model, image, target):
    for steps in GUIDED_STEPS:
        pictures = guided_polyline(model, image, target, steps)
        chords = intgrad.integrated_gradients(
            model, pictures[1:], target, baseline=pictures[:-1, None], steps=8, output="logit"
        )
        true = chords.sum(axis=0, dtype=np.float64)
        maps, info = intgrad.integrated_gradients(
            model,
            image,
            target,
            path="guided",
            steps=steps,
            output="logit",
            return_info=True,
            error_map=True,
            segments=patches(image),
        )
        yield {"method": f"guided, steps={steps}", **compare(maps, info, true)}
    left = intgrad.integrated_gradients(
        model, image, target, path="guided", rule="left", steps=steps, output="logit"
    )
    error = harness.relative_error(left, true)
    yield {"method": f"guided, its authors' {steps} steps", "gradients": steps, "true": error}


def make_references(name, size, count):
    """Return photographs for references, and the same moved and turned over."""
    images, _ = models.many(models.pictures(name, size), count)
    return np.stack([image[:, ::-1] if k % 2 else image[::-1] for k, image in enumerate(images)])


def measure_runs(run, image):
    """Return how runs spread that differ in their seed, and what they say of that."""
    runs = [run(seed=seed, scale=1) for seed in range(RUNS)]
    maps = np.stack([maps for maps, _ in runs]).astype(np.float64)
    true, _ = run(seed=1000, scale=LONG)
    infos = [info for _, info in runs]
    sums = np.stack([info.regions.attributions for info in infos])
    deviations = np.stack([info.regions.deviations for info in infos])
    norm = np.linalg.norm(true)
    spread = np.sqrt(maps.var(axis=0, ddof=1).sum()) / norm
    squares = [(info.error * np.linalg.norm(m)) ** 2 for m, info in zip(maps, infos, strict=True)]
    claimed = np.sqrt(np.mean(squares)) / norm
    true_sums = pool(true, infos[0].regions)
    region_spread = np.sqrt(sums.var(axis=0, ddof=1).sum())
    mean = sums.mean(axis=0)
    return {
        "gradients": infos[0].evaluations,
        "spread": float(spread),
        "estimated": float(claimed),
        "ratio": float(claimed / spread),
        "true": float(np.mean([harness.relative_error(m, true) for m in maps])),
        "to_5": infos[0].evaluations * (float(claimed) / 0.05) ** 2,
        "region_spread": float(region_spread / np.linalg.norm(true_sums)),
        "region_ratio": float(np.sqrt((deviations**2).sum(axis=1).mean()) / region_spread),
        # The mean of the others is not quite the truth, which widens what is to be covered.
        **coverage(sums, mean, deviations * np.sqrt(1 - 1 / RUNS), "region_"),
    }


def measure_draws(model, image, target, name, size):
    told = {"return_info": True, "segments": patches(image), "output": "logit"}

    def expected(count, draws, **options):
        references = make_references(name, size, count)

        def run(seed, scale):
            return intgrad.expected_gradients(
                model, image, target, references=references, draws=draws * scale, seed=seed,
                **options, **told,
            )  # fmt: skip

        return run

    def smooth(draws, **options):
        def run(seed, scale):
            return intgrad.smoothgrad(
                model, image, target, draws=draws * scale, seed=seed, **options, **told
            )

        return run

    for label, run in (
        ("expected, 7 references, draws=200", expected(FEW_REFERENCES, 200)),
        ("the same, independent", expected(FEW_REFERENCES, 200, independent=True)),
        ("expected, 100 references, draws=200", expected(MANY_REFERENCES, 200)),
        ("smoothgrad, draws=50", smooth(50)),
        ("smoothgrad, square, draws=50", smooth(50, kind="square")),
        ("smoothgrad, variance, draws=50", smooth(50, kind="variance")),
    ):
        yield {"method": label, **measure_runs(run, image)}
    references = make_references(name, size, FEW_REFERENCES)
    aim = {"tolerance": 0.05, "max_evaluations": 8192, "seed": 0}
    _, info = intgrad.expected_gradients(model, image, target, references=references, **aim, **told)
    yield {
        "method": "expected, 7 references, tolerance=0.05",
        "gradients": info.evaluations,
        "estimated": info.error,
        "to_5": info.evaluations,
    }


def main():
    parser = harness.parser(__doc__, output="logit")
    parser.add_argument("--pictures", type=int, default=2, help="how many (default: 2)")
    options = parser.parse_args()
    job = harness.make_job(options, options.model)
    model = contenders.load_intgrad(job)
    paths, draws = [], []
    pictures = models.pictures(job["model"], job["size"])
    for name in models.TWO[options.model][: options.pictures]:
        image, target = pictures[name]
        for measure in (measure_blur, measure_guided):
            paths += [{"picture": name, **row} for row in measure(model, image, target)]
            print(*paths[-7:], sep="\n", flush=True)
        for row in measure_draws(model, image, target, job["model"], job["size"]):
            draws.append({"picture": name, **row})
            print(draws[-1], flush=True)
    sections = [
        ("Paths that are not straight", paths, PATHS, []),
        ("Draws", draws, DRAWS, []),
    ]
    facts = harness.about([]) | {"versions": contenders.VERSIONS}
    harness.report("How exact each method is", {**facts, **job}, sections, options.out)


if __name__ == "__main__":
    main()
