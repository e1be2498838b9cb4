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
    double jump;     // norm of the jump to the next node, or UNKNOWN
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
        Path path;
        path.is_open = true;
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

// The pictures at the points, (n, C, H, W): as ig_path_interpolate has them, bit for bit.
Tensor interpolate(const ig_paths &paths, const ig_point *points, size_t n)
{
    auto sizes = picture_sizes(paths);
    sizes.insert(sizes.begin(), static_cast<int64_t>(n));
    const auto pictures = at::empty(sizes, on_device(paths, at::kFloat));
    for (size_t k = 0; k < n; k++) {
        const Path &path = paths.paths[points[k].path];
        // Two steps and not lerp, which may fuse them and round otherwise.
        pictures[static_cast<int64_t>(k)].copy_(
            points[k].alpha == 1.0 ? path.image
                                   : path.distance.mul(points[k].alpha).add_(path.baseline));
    }
    return pictures.permute({0, 3, 1, 2});
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

// Adds a node's gradient to the sums, wholly or, where memory is short, not at all; `previous` is
// undefined at the first node of a path.
void add_gradient(const Path &path, const Tensor &gradient, const Tensor &previous,
                  ig_weights weights, const Sums &sums)
{
    const auto precise = gradient.to(at::kDouble);
    Tensor jump, pixel_jump, region_jump;
    if (sums.jumps.defined() && previous.defined()) {
        jump = precise.sub(previous);
        const auto moved = jump.mul(path.distance);
        pixel_jump = moved.mean(-1);
        if (sums.region_jumps.defined())
            region_jump = pool(path, moved);
    }
    // All is in double here, so that nothing below needs memory.
    sums.sum.add_(precise, weights.weight);
    if (sums.half.defined() && weights.half_weight != 0.0)
        sums.half.add_(precise, weights.half_weight);
    if (jump.defined()) {
        sums.jumps.addcmul_(jump, jump, weights.jump_weight);
        sums.pixel_jumps.addcmul_(pixel_jump, pixel_jump, weights.jump_weight);
    }
    if (region_jump.defined())
        sums.region_jumps.addcmul_(region_jump, region_jump, weights.jump_weight);
}

void stream_gradient(const ig_paths &paths, Path &path, const ig_point &point,
                     const Tensor &gradient)
{
    // The first node of a path is the one that no interval ends at.
    const auto previous = point.weights.jump_weight > 0.0 ? path.previous : Tensor();
    add_gradient(path, gradient, previous, point.weights, path.sums);
    if (paths.config.with_jumps)
        path.previous = gradient;
    if (paths.config.with_gradient && point.alpha == 1.0)
        path.end = gradient;
}

// Keeps a gradient at its place among the path's nodes; a copy, because the batch's own tensor
// would stay as long as any of its points.
void retain_gradient(Path &path, double alpha, const Tensor &gradient)
{
    auto place = std::find_if(path.nodes.begin(), path.nodes.end(),
                              [&](const Node &each) { return each.alpha > alpha; });
    place = path.nodes.insert(place, {alpha, gradient.clone(), UNKNOWN});
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
    ig_status status = differentiate(*paths.model, interpolate(paths, points, n), picks.data(),
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
        if (path.retain)
            retain_gradient(path, points[k].alpha, gradient);
        else
            stream_gradient(paths, path, points[k], gradient);
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

// The sums of a retained path.
Sums sum_nodes(const ig_paths &paths, const Path &path, const ig_weights *weights, bool half,
               bool jumps)
{
    auto sums = zero_sums(paths, &path, half, jumps);
    Tensor previous;
    for (size_t k = 0; k < path.nodes.size(); k++) {
        const auto &gradient = path.nodes[k].gradient;
        add_gradient(path, gradient, previous, weights[k], sums);
        previous = gradient;
    }
    return sums;
}

// Only jumps beside nodes that are new since the last call are computed, and fetched together.
void find_jumps(Path &path, bool by_region)
{
    std::vector<Node *> found;
    std::vector<Tensor> squares;
    for (size_t k = 0; k + 1 < path.nodes.size(); k++) {
        Node &node = path.nodes[k];
        if (node.jump != UNKNOWN)
            continue;
        auto jump = path.nodes[k + 1].gradient.to(at::kDouble).sub_(node.gradient);
        jump.mul_(path.distance);
        squares.push_back((by_region ? pool(path, jump) : jump).square_().sum());
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
        find_jumps(path, paths->config.by_region != 0);
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
            const auto sums = sum_nodes(*paths, path, weights[k], true, false);
            totals.sum.addcmul_(path.distance, sums.sum);
            totals.half.addcmul_(path.distance, sums.half);
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
        const auto sums =
            path.retain ? sum_nodes(*paths, path, weights, ret_sums.half, jumps) : path.sums;
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
