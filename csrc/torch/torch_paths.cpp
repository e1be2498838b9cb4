// torch_paths.cpp - sums along paths, kept on the model's device.
//
// Gives what engine/host_path.c gives, but gradients stay where they are born: pictures go up once,
// and of a batch only its scores come back, with two numbers a point that tell whether its gradient
// is finite. That copy is the one place where a batch waits for the device.
#include "torch_model.hpp"

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <unordered_map>
#include <utility>

namespace
{

using at::Tensor;
using namespace ig_torch;

constexpr double UNKNOWN = -1.0;

// A gradient that is kept, of all targets of its path.
struct Node {
    double alpha;
    Tensor gradient; // (T, H, W, C) float32
    Tensor picture;  // (H, W, C) float32; undefined on a straight path
    double jump;     // norm of the jump to the next node, or UNKNOWN
};

// A piece of a path, with the gradients at its ends: double, or float32 where that is exact.
struct Chord {
    Tensor moved; // by what the picture differs, (H, W, C) double
    Tensor gradient, previous;
};

// As ig_sums, in double on the device; undefined where not wanted.
struct Sums {
    Tensor sum, half, jumps, pixel_jumps, region_jumps;
};

struct Path {
    bool is_open = false, retain = false;
    const int64_t *targets = nullptr; // borrowed from open to close
    Tensor image, baseline;           // (H, W, C) float32, shared with other paths
    Tensor distance;                  // image - baseline in double
    Tensor labels;                    // (H * W) int64, shared; undefined without regions
    int64_t regions = 0;
    // Streamed: the sums so far, the last gradient where jumps are wanted, and that of alpha 1.
    Sums sums;
    Tensor previous, end;
    // Streamed on a curve: the picture of the last gradient, and both at the last node of T_half.
    Tensor previous_picture, half_previous, half_picture;
    std::vector<double> position; // IG_GUIDED: the next picture, on the host as its steps are
    const float *host_image = nullptr, *host_baseline = nullptr; // as targets
    // Retained: nodes by ascending alpha.
    std::vector<Node> nodes;
};

} // namespace

struct ig_paths {
    ig_model *model;
    ig_paths_config config;
    // Pictures of open paths on the device, by where they are on the host.
    std::unordered_map<const float *, Tensor> pictures;
    std::unordered_map<const int32_t *, Tensor> labels;
    std::vector<Path> paths;
};

namespace
{

// ---- Opening and closing -----------------------------------------------------------------------

int64_t target_count(const ig_paths &paths)
{
    return static_cast<int64_t>(paths.config.target_count);
}

std::vector<int64_t> picture_sizes(const ig_paths &paths)
{
    const ig_shape shape = paths.config.shape;
    return {static_cast<int64_t>(shape.height), static_cast<int64_t>(shape.width),
            static_cast<int64_t>(shape.channels)};
}

at::TensorOptions on_device(const ig_paths &paths, at::ScalarType type)
{
    return at::TensorOptions(paths.model->device).dtype(type);
}

// The picture on the device, uploaded unless an open path has it already. The host's memory is not
// pinned, so that the copy has been made when this returns; a CPU borrows it.
Tensor find_picture(ig_paths &paths, const float *pixels)
{
    auto &picture = paths.pictures[pixels];
    if (!picture.defined())
        picture = at::from_blob(const_cast<float *>(pixels), picture_sizes(paths), at::kFloat)
                      .to(paths.model->device);
    return picture;
}

// The same for the labels of its pixels.
Tensor find_labels(ig_paths &paths, const int32_t *values)
{
    auto &labels = paths.labels[values];
    const auto sizes = picture_sizes(paths);
    if (!labels.defined())
        labels = at::from_blob(const_cast<int32_t *>(values), {sizes[0] * sizes[1]}, at::kInt)
                     .to(paths.model->device, at::kLong);
    return labels;
}

template <typename Kept>
void forget_unused(Kept &kept)
{
    for (auto each = kept.begin(); each != kept.end();)
        each = each->second.use_count() <= 1 ? kept.erase(each) : std::next(each);
}

// The sums over regions of values (..., H, W, C), as (..., regions).
Tensor pool(const Path &path, const Tensor &values)
{
    const auto pixels = values.sum(-1).flatten(-2);
    auto sizes = pixels.sizes().vec();
    sizes.back() = path.regions;
    return at::zeros(sizes, pixels.options()).index_add_(-1, path.labels, pixels);
}

Sums zero_sums(const ig_paths &paths, const Path *path, bool half, bool jumps)
{
    const auto options = on_device(paths, at::kDouble);
    auto sizes = picture_sizes(paths);
    sizes.insert(sizes.begin(), target_count(paths));
    Sums sums;
    sums.sum = at::zeros(sizes, options);
    if (half)
        sums.half = at::zeros(sizes, options);
    if (jumps) {
        sums.jumps = at::zeros(sizes, options);
        sizes.pop_back();
        sums.pixel_jumps = at::zeros(sizes, options);
        if (path && paths.config.with_region_jumps)
            sums.region_jumps = at::zeros({sizes[0], path->regions}, options);
    }
    return sums;
}

ig_status create(ig_model *model, const ig_paths_config *config, ig_paths **ret_paths,
                 ig_error *error) noexcept
{
    return guarded(error, [&] {
        *ret_paths = new ig_paths{model, *config, {}, {}, {}};
        return IG_OK;
    });
}

ig_status open_path(ig_paths *paths, const float *image, const float *baseline,
                    const int64_t *targets, ig_regions regions, int retain, size_t *ret_path,
                    ig_error *error) noexcept
{
    return guarded(error, [&] {
        const auto size = ig_shape_size(paths->config.shape);
        Path path;
        path.is_open = true;
        path.host_image = image;
        path.host_baseline = baseline;
        if (paths->config.curve.kind == IG_GUIDED)
            path.position.assign(baseline, baseline + size);
        path.retain = retain != 0;
        path.targets = targets;
        path.image = find_picture(*paths, image);
        path.baseline = find_picture(*paths, baseline);
        path.distance = path.image.to(at::kDouble).sub_(path.baseline);
        path.regions = static_cast<int64_t>(regions.count);
        if (regions.count)
            path.labels = find_labels(*paths, regions.labels);
        if (!retain)
            path.sums = zero_sums(*paths, &path, paths->config.with_half != 0,
                                  paths->config.with_jumps != 0);
        auto &slots = paths->paths;
        auto slot = std::find_if(slots.begin(), slots.end(),
                                 [](const Path &each) { return !each.is_open; });
        if (slot == slots.end())
            slot = slots.emplace(slot);
        *slot = std::move(path);
        *ret_path = static_cast<size_t>(slot - slots.begin());
        return IG_OK;
    });
}

void close_path(ig_paths *paths, size_t index) noexcept
{
    paths->paths[index] = Path();
    forget_unused(paths->pictures);
    forget_unused(paths->labels);
}

void destroy(ig_paths *paths) noexcept
{
    delete paths;
}

// ---- Evaluating --------------------------------------------------------------------------------

bool is_curve(const ig_paths &paths)
{
    return ig_is_curve(&paths.config.curve) != 0;
}

// A square matrix on the device, for the pixels of a line.
Tensor blur_weights(const ig_paths &paths, double sigma, int64_t length)
{
    std::vector<double> weights(static_cast<size_t>(length * length));
    paths.config.kernels->blur_weights(sigma, static_cast<size_t>(length), weights.data());
    return at::from_blob(weights.data(), {length, length}, at::kDouble)
        .to(paths.model->device, false, true);
}

// As ig_blur: a product for the rows, and one for the columns. (H, W, C) double.
Tensor blur(const ig_paths &paths, const Path &path, double sigma)
{
    const auto sizes = picture_sizes(paths);
    auto picture = path.image.to(at::kDouble);
    if (sigma == 0.0)
        return picture;
    picture = at::matmul(blur_weights(paths, sigma, sizes[0]), picture.flatten(1)).view(sizes);
    return at::matmul(blur_weights(paths, sigma, sizes[1]), picture);
}

// A picture of the host's.
Tensor upload(const ig_paths &paths, const std::vector<double> &picture)
{
    return at::from_blob(const_cast<double *>(picture.data()), picture_sizes(paths), at::kDouble)
        .to(paths.model->device, false, true);
}

// The picture of a node on a curve.
Tensor curve_picture(const ig_paths &paths, const Path &path, double alpha)
{
    const ig_curve &curve = paths.config.curve;
    if (curve.kind == IG_BLUR)
        return blur(paths, path, ig_curve_sigma(&curve, alpha));
    return upload(paths, path.position);
}

Tensor make_picture(const ig_paths &paths, const Path &path, double alpha)
{
    if (alpha == 1.0)
        return path.image;
    if (is_curve(paths))
        return curve_picture(paths, path, alpha);
    // Two steps and not lerp, which may fuse them and round otherwise.
    return path.distance.mul(alpha).add_(path.baseline);
}

// The pictures at the points, (n, H, W, C): on a straight path as ig_path_interpolate has them, bit
// for bit.
Tensor make_pictures(const ig_paths &paths, const ig_point *points, size_t n)
{
    auto sizes = picture_sizes(paths);
    sizes.insert(sizes.begin(), static_cast<int64_t>(n));
    const auto pictures = at::empty(sizes, on_device(paths, at::kFloat));
    for (size_t k = 0; k < n; k++) {
        const Path &path = paths.paths[points[k].path];
        pictures[static_cast<int64_t>(k)].copy_(make_picture(paths, path, points[k].alpha));
    }
    return pictures;
}

// What the rounds gave, one for each target, as (n, T, ...).
Tensor join(const std::vector<Tensor> &rounds)
{
    return rounds.size() == 1 ? rounds[0].unsqueeze(1).contiguous() : at::stack(rounds, 1);
}

double first_not_finite(const Tensor &gradient)
{
    const auto host = gradient.to(at::kCPU).contiguous();
    const auto *values = host.data_ptr<float>();
    return *std::find_if(values, values + host.numel(), [](float v) { return !std::isfinite(v); });
}

// Fetches the values (n, T), and with them the least and greatest component of each gradient, which
// are finite where all are.
ig_status fetch_values(const Tensor &values, const Tensor &gradients, double *ret_values,
                       size_t *ret_point, ig_error *error)
{
    const auto flat = gradients.flatten(1);
    const auto rows = at::cat({values, flat.amin(1, true), flat.amax(1, true)}, 1).to(at::kCPU);
    const auto targets = values.size(1);
    for (int64_t k = 0; k < values.size(0); k++) {
        const float *row = rows.data_ptr<float>() + k * (targets + 2);
        const float *wrong =
            std::find_if(row, row + targets + 2, [](float v) { return !std::isfinite(v); });
        if (wrong != row + targets + 2) {
            *ret_point = static_cast<size_t>(k);
            return wrong < row + targets
                       ? ig_fail(error, IG_MODEL_FAILED, "the model's score is %g",
                                 static_cast<double>(*wrong))
                       : ig_fail(error, IG_MODEL_FAILED, "the model's gradient holds %g",
                                 first_not_finite(gradients[k]));
        }
        std::copy(row, row + targets, ret_values + k * targets);
    }
    return IG_OK;
}

// What differs along a piece of a path, in attributions.
Tensor find_jump(const Chord &chord)
{
    // Not in place at first: what is double already is not copied.
    return chord.gradient.to(at::kDouble).sub(chord.previous).mul_(chord.moved);
}

// The same of every pool; undefined where not wanted.
struct Jumps {
    Tensor values, pixels, regions;
};

Jumps find_jumps(const Path &path, const Chord &chord, const Sums &sums)
{
    Jumps jumps;
    if (!sums.jumps.defined())
        return jumps;
    jumps.values = find_jump(chord);
    jumps.pixels = jumps.values.mean(-1);
    if (sums.region_jumps.defined())
        jumps.regions = pool(path, jumps.values);
    return jumps;
}

void add_jumps(const Jumps &jumps, double weight, const Sums &sums)
{
    if (!jumps.values.defined())
        return;
    sums.jumps.addcmul_(jumps.values, jumps.values, weight);
    sums.pixel_jumps.addcmul_(jumps.pixels, jumps.pixels, weight);
    if (jumps.regions.defined())
        sums.region_jumps.addcmul_(jumps.regions, jumps.regions, weight);
}

// Adds a node's gradient to the sums of a straight path, wholly or, where memory is short, not at
// all; `previous` is undefined at the first node. Sum and half are in gradient units until they are
// read.
void add_gradient(const Path &path, const Tensor &gradient, const Tensor &previous,
                  ig_weights weights, const Sums &sums)
{
    const auto precise = gradient.to(at::kDouble);
    Jumps jumps;
    if (previous.defined())
        jumps = find_jumps(path, {path.distance, precise, previous}, sums);
    // All is in double here, so that nothing below needs memory.
    sums.sum.add_(precise, weights.weight);
    if (sums.half.defined() && weights.half_weight != 0.0)
        sums.half.add_(precise, weights.half_weight);
    add_jumps(jumps, weights.jump_weight, sums);
}

Chord make_chord(const Tensor &picture, const Tensor &from, const Tensor &gradient,
                 const Tensor &previous)
{
    return {picture.to(at::kDouble).sub_(from), gradient, previous};
}

// The trapezoid over a piece of a curve.
Tensor integrate(const Chord &chord)
{
    return chord.gradient.to(at::kDouble).add_(chord.previous).mul_(chord.moved).div_(2.0);
}

// Adds the piece of a curve that ends at a node to the sums, and to half that since the last node
// of T_half, which is undefined where this is none; wholly, or not at all.
void add_chord(const Path &path, const Chord &chord, const Tensor &half, const Sums &sums)
{
    const auto jumps = find_jumps(path, chord, sums);
    sums.sum.add_(integrate(chord));
    if (half.defined())
        sums.half.add_(half);
    add_jumps(jumps, 1.0 / 12.0, sums); // of a Brownian bridge; the width is in the chord
}

void stream_straight(const ig_paths &paths, Path &path, const ig_point &point,
                     const Tensor &gradient)
{
    // The first node of a path is the one that no interval ends at.
    const auto previous = point.weights.jump_weight > 0.0 ? path.previous : Tensor();
    add_gradient(path, gradient, previous, point.weights, path.sums);
    if (paths.config.with_jumps)
        path.previous = gradient;
}

// By the trapezoid over what the picture has moved by.
void stream_curve(Path &path, const ig_point &point, const Tensor &picture, const Tensor &gradient)
{
    const bool is_first = point.weights.jump_weight == 0.0;
    const bool in_half = path.sums.half.defined() && point.weights.half_weight != 0.0;
    if (!is_first) {
        const auto half =
            in_half
                ? integrate(make_chord(picture, path.half_picture, gradient, path.half_previous))
                : Tensor();
        add_chord(path, make_chord(picture, path.previous_picture, gradient, path.previous), half,
                  path.sums);
    }
    path.previous = gradient;
    path.previous_picture = picture;
    if (in_half) {
        path.half_previous = gradient;
        path.half_picture = picture;
    }
}

// Where a guided path goes next, by a step on the host; it stays where it is until that is known to
// be wholly done.
std::vector<double> step_guided(const ig_paths &paths, const Path &path, const ig_point &point,
                                const Tensor &gradient)
{
    const ig_curve &curve = paths.config.curve;
    const ig_curve_kernels &kernels = *paths.config.kernels;
    const size_t step = ig_curve_step(&curve, point.alpha);
    auto next = path.position;
    if (step == curve.steps)
        return next;
    const auto host = gradient.to(at::kCPU).contiguous();
    std::vector<float> scratch(kernels.guided_scratch(next.size()));
    kernels.guided_step(host.data_ptr<float>(), path.host_image, path.host_baseline, next.size(),
                        step, curve.steps, curve.fraction, curve.max_distance, scratch.data(),
                        next.data());
    return next;
}

// What the picture of a blurred path moves by at a node: host_path.c, find_blur_motion.
Tensor find_blur_motion(const ig_paths &paths, const Path &path, double alpha)
{
    const ig_curve &curve = paths.config.curve;
    const double sigma = ig_curve_sigma(&curve, alpha);
    return blur(paths, path, sigma + IG_BLUR_DIFFERENCE)
        .sub_(blur(paths, path, sigma))
        .mul_(-curve.sigma / static_cast<double>(curve.steps) / IG_BLUR_DIFFERENCE);
}

void stream_point(const ig_paths &paths, Path &path, const ig_point &point, const Tensor &picture,
                  const Tensor &gradient)
{
    const ig_curve &curve = paths.config.curve;
    std::vector<double> next;
    if (curve.kind == IG_GUIDED)
        next = step_guided(paths, path, point, gradient[0]);
    if (!is_curve(paths)) {
        stream_straight(paths, path, point, gradient);
    } else if (!curve.is_left) {
        stream_curve(path, point, picture, gradient);
    } else {
        const auto moved = curve.kind == IG_BLUR
                               ? find_blur_motion(paths, path, point.alpha)
                               : upload(paths, next).sub_(upload(paths, path.position));
        path.sums.sum.add_(gradient.to(at::kDouble).mul(moved));
    }
    path.position = std::move(next);
    if (paths.config.with_gradient && point.alpha == 1.0)
        path.end = gradient;
}

// Keeps a gradient at its place among the path's nodes; a copy, because the batch's own tensor
// would stay as long as any of its points.
void retain_gradient(Path &path, double alpha, const Tensor &picture, const Tensor &gradient)
{
    auto place = std::find_if(path.nodes.begin(), path.nodes.end(),
                              [&](const Node &each) { return each.alpha > alpha; });
    place = path.nodes.insert(
        place, {alpha, gradient.clone(), picture.defined() ? picture.clone() : Tensor(), UNKNOWN});
    if (place != path.nodes.begin())
        std::prev(place)->jump = UNKNOWN;
}

ig_status run_points(ig_paths &paths, const ig_point *points, size_t n, double *ret_values,
                     size_t *ret_done, size_t *ret_point, ig_error *error)
{
    std::vector<ig_pick> picks;
    for (size_t k = 0; k < n; k++)
        for (size_t t = 0; t < paths.config.target_count; t++)
            picks.push_back({k, paths.paths[points[k].path].targets[t]});
    std::vector<Round> rounds;
    const auto pictures = make_pictures(paths, points, n);
    ig_status status = differentiate(*paths.model, pictures.permute({0, 3, 1, 2}), picks.data(),
                                     picks.size(), paths.config.output, rounds, error);
    if (status != IG_OK)
        return status;
    std::vector<Tensor> parts, values;
    for (const auto &round : rounds) {
        parts.push_back(round.gradients);
        values.push_back(round.values);
    }
    const auto gradients = join(parts);
    status = fetch_values(join(values), gradients, ret_values, ret_point, error);
    for (size_t k = 0; status == IG_OK && k < n; k++) {
        Path &path = paths.paths[points[k].path];
        const auto gradient = gradients[static_cast<int64_t>(k)];
        const auto picture = is_curve(paths) ? pictures[static_cast<int64_t>(k)] : Tensor();
        if (path.retain)
            retain_gradient(path, points[k].alpha, picture, gradient);
        else
            stream_point(paths, path, points[k], picture, gradient);
        *ret_done = k + 1;
    }
    return status;
}

ig_status evaluate(ig_paths *paths, const ig_point *points, size_t n, double *ret_values,
                   size_t *ret_done, size_t *ret_point, ig_error *error) noexcept
{
    *ret_done = 0;
    *ret_point = n;
    const ig_status status = guarded(error, [&] {
        const CallScope scope(*paths->model);
        return run_points(*paths, points, n, ret_values, ret_done, ret_point, error);
    });
    if (status != IG_OK && status != IG_NO_MEMORY)
        *ret_done = 0;
    return status;
}

// ---- Reading -----------------------------------------------------------------------------------

// Between a node and one before.
Chord node_chord(const Path &path, const Node &to, const Node &from)
{
    if (!to.picture.defined())
        return {path.distance, to.gradient, from.gradient};
    return make_chord(to.picture, from.picture, to.gradient, from.gradient);
}

void add_nodes(const ig_paths &paths, const Path &path, const ig_weights *weights, const Sums &sums)
{
    size_t half_node = 0;
    for (size_t k = 0; k < path.nodes.size(); k++) {
        const Node &node = path.nodes[k];
        if (!is_curve(paths)) {
            add_gradient(path, node.gradient, k ? path.nodes[k - 1].gradient : Tensor(), weights[k],
                         sums);
            continue;
        }
        if (k == 0)
            continue;
        Tensor half;
        if (sums.half.defined() && weights[k].half_weight != 0.0) {
            half = integrate(node_chord(path, node, path.nodes[half_node]));
            half_node = k;
        }
        add_chord(path, node_chord(path, node, path.nodes[k - 1]), half, sums);
    }
}

// The sums of a retained path.
Sums sum_nodes(const ig_paths &paths, const Path &path, const ig_weights *weights, bool half,
               bool jumps)
{
    auto sums = zero_sums(paths, &path, half, jumps);
    add_nodes(paths, path, weights, sums);
    return sums;
}

// From gradients to attributions, where a path is straight; jumps are attributions already. Of
// sums that are not streamed into any more, or a copy of them.
Sums attribute(const ig_paths &paths, const Path &path, Sums sums)
{
    if (paths.config.curve.kind != IG_STRAIGHT)
        return sums;
    sums.sum = sums.sum.mul(path.distance);
    if (sums.half.defined())
        sums.half = sums.half.mul(path.distance);
    return sums;
}

// Only jumps beside nodes that are new since the last call are computed, and fetched together.
void measure_jumps(const ig_paths &paths, Path &path)
{
    std::vector<Node *> found;
    std::vector<Tensor> squares;
    for (size_t k = 0; k + 1 < path.nodes.size(); k++) {
        Node &node = path.nodes[k];
        if (node.jump != UNKNOWN)
            continue;
        auto jump = find_jump(node_chord(path, path.nodes[k + 1], node));
        if (is_curve(paths))
            jump.div_(path.nodes[k + 1].alpha - node.alpha);
        squares.push_back((paths.config.by_region ? pool(path, jump) : jump).square_().sum());
        found.push_back(&node);
    }
    if (found.empty())
        return;
    const auto fetched = at::stack(squares).to(at::kCPU);
    for (size_t i = 0; i < found.size(); i++)
        found[i]->jump = std::sqrt(fetched.data_ptr<double>()[i]);
}

ig_status jump_norms(ig_paths *paths, size_t index, double *ret_norms, ig_error *error) noexcept
{
    return guarded(error, [&] {
        Path &path = paths->paths[index];
        measure_jumps(*paths, path);
        for (size_t k = 0; k + 1 < path.nodes.size(); k++)
            ret_norms[k] = path.nodes[k].jump;
        return IG_OK;
    });
}

ig_status assess(ig_paths *paths, const size_t *members, const ig_weights *const *weights, size_t n,
                 ig_norms *ret_norms, ig_error *error) noexcept
{
    return guarded(error, [&] {
        const auto totals = zero_sums(*paths, nullptr, true, false); // sum: T; half: T_half
        for (size_t k = 0; k < n; k++) {
            const Path &path = paths->paths[members[k]];
            const auto sums =
                attribute(*paths, path, sum_nodes(*paths, path, weights[k], true, false));
            totals.sum.add_(sums.sum);
            totals.half.add_(sums.half);
        }
        auto both = at::stack({totals.sum, totals.sum.sub(totals.half)}); // (2, T, H, W, C)
        if (paths->config.by_region)                                      // all are of one image
            both = pool(paths->paths[members[0]], both);
        const auto squares = both.square_().flatten(2).sum(2).to(at::kCPU); // (2, T)
        const auto *fetched = squares.data_ptr<double>();
        for (size_t t = 0; t < paths->config.target_count; t++)
            ret_norms[t] = {fetched[t], fetched[paths->config.target_count + t]};
        return IG_OK;
    });
}

// Copies to the caller's buffer, if there is one.
void fetch(const Tensor &tensor, void *ret_values)
{
    if (ret_values)
        at::from_blob(ret_values, tensor.sizes(), tensor.scalar_type()).copy_(tensor);
}

ig_status read_sums(ig_paths *paths, size_t index, const ig_weights *weights, ig_sums ret_sums,
                    ig_error *error) noexcept
{
    return guarded(error, [&] {
        const Path &path = paths->paths[index];
        const bool jumps = ret_sums.jumps || ret_sums.pixel_jumps;
        const auto sums = attribute(
            *paths, path,
            path.retain ? sum_nodes(*paths, path, weights, ret_sums.half, jumps) : path.sums);
        fetch(sums.sum, ret_sums.sum);
        fetch(sums.half, ret_sums.half);
        fetch(sums.jumps, ret_sums.jumps);
        fetch(sums.pixel_jumps, ret_sums.pixel_jumps);
        fetch(sums.region_jumps, ret_sums.region_jumps);
        fetch(path.retain ? path.nodes.back().gradient : path.end, ret_sums.gradient);
        return IG_OK;
    });
}

} // namespace

const ig_path_store ig_torch::device_paths = {
    create, open_path, evaluate, jump_norms, assess, read_sums, close_path, destroy,
};
