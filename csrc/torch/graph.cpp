// graph.cpp - see graph.hpp.
#include "graph.hpp"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/graph_rewrite_helper.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_iterator.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

namespace ig_torch
{

namespace
{

using torch::jit::Graph;
using torch::jit::Module;
using torch::jit::Node;
namespace aten = c10::aten;
namespace attr = c10::attr;

// The nodes of a graph, those of its branches and loops included.
std::vector<Node *> all_nodes(std::shared_ptr<Graph> &graph)
{
    std::vector<Node *> nodes;
    torch::jit::DepthFirstGraphNodeIterator each(graph);
    while (Node *node = each.next())
        nodes.push_back(node);
    return nodes;
}

// ---- Numbers -----------------------------------------------------------------------------------

bool holds_tensor(const Node *node)
{
    return node->kind() == c10::prim::Constant && node->hasAttribute(attr::value) &&
           node->kindOf(attr::value) == torch::jit::AttributeKind::t;
}

// An array of real numbers; a number by itself takes the type of what it meets.
bool is_weight(const at::Tensor &tensor)
{
    return tensor.defined() && tensor.is_floating_point() && tensor.dim() > 0;
}

// The type of the parameters, where it is not float32: that of an archive in half or double. A
// frozen archive has its weights among the constants of its graph.
std::optional<at::ScalarType> find_foreign_type(const Module &module, std::shared_ptr<Graph> &graph)
{
    std::vector<at::Tensor> weights;
    for (const auto &parameter : module.parameters())
        weights.push_back(parameter);
    if (weights.empty())
        for (const Node *node : all_nodes(graph))
            if (holds_tensor(node))
                weights.push_back(node->t(attr::value));
    for (const auto &weight : weights)
        if (is_weight(weight) && weight.scalar_type() != at::kFloat)
            return weight.scalar_type();
    return std::nullopt;
}

// Parameters, buffers and what else is a real tensor, in the graph too; complex ones are left as
// they are.
void convert_tensors(const Module &module, std::shared_ptr<Graph> &graph, at::ScalarType type)
{
    for (const auto &attribute : module.attributes()) {
        if (!attribute.isTensor())
            continue;
        auto tensor = attribute.toTensor();
        if (tensor.defined() && tensor.is_floating_point() && tensor.scalar_type() != type)
            tensor.set_data(tensor.to(type));
    }
    for (Node *node : all_nodes(graph))
        if (holds_tensor(node) && is_weight(node->t(attr::value)))
            node->t_(attr::value, node->t(attr::value).to(type));
}

// What a graph in another type casts to it, it casts to float32.
void convert_casts(std::shared_ptr<Graph> &graph, at::ScalarType foreign)
{
    for (Node *node : all_nodes(graph)) {
        if (!node->maybeSchema() || !node->hasNamedInput("dtype"))
            continue;
        torch::jit::Value *asked = node->namedInput(attr::dtype);
        const auto type = torch::jit::toIValue(asked);
        if (!type || !type->isInt() || type->toInt() != static_cast<int64_t>(foreign))
            continue;
        const torch::jit::WithInsertPoint here(node);
        node->replaceInputWith(asked, graph->insertConstant(static_cast<int64_t>(at::kFloat)));
    }
}

// ---- Freezing ----------------------------------------------------------------------------------

// Freezing takes `detach` for idle and drops it, which changes the gradient. `lift` is idle too, is
// kept, and nobody writes it; load_model would see if somebody did.
void rename_nodes(std::shared_ptr<Graph> graph, c10::Symbol from, c10::Symbol to)
{
    for (Node *node : all_nodes(graph))
        if (node->kind() == from) {
            node->replaceWithNewSymbol(to);
            node->destroy();
        }
}

// A trace holds torch's TF32 switch of the day it was made, as an argument of its convolutions; the
// plain operators that they are made here ask the switch of the day they run.
void follow_switches(std::shared_ptr<Graph> graph)
{
    torch::jit::graph_rewrite_helper::replaceConvolutionWithAtenConv(graph);
}

bool is_convolution_weight(const torch::jit::Use &use)
{
    const auto kind = use.user->kind();
    return use.offset == 1 &&
           (kind == aten::conv2d || kind == aten::conv_transpose2d || kind == aten::_convolution);
}

void lay_out_weights(std::shared_ptr<Graph> graph)
{
    for (Node *node : all_nodes(graph)) {
        if (!holds_tensor(node) || node->t(attr::value).dim() != 4)
            continue;
        const auto &uses = node->output()->uses();
        if (std::all_of(uses.begin(), uses.end(), is_convolution_weight))
            node->t_(attr::value, node->t(attr::value).contiguous(at::MemoryFormat::ChannelsLast));
    }
}

} // namespace

Module prepare(Module module, at::ScalarType type, bool channels_last)
{
    module.eval();
    for (auto parameter : module.parameters())
        parameter.requires_grad_(false);
    auto graph = module.get_method("forward").graph();
    torch::jit::Inline(*graph);
    if (const auto foreign = find_foreign_type(module, graph)) {
        convert_tensors(module, graph, at::kFloat);
        convert_casts(graph, *foreign);
    }
    if (type != at::kFloat)
        convert_tensors(module, graph, type);
    const auto marker = c10::Symbol::fromQualString("aten::lift");
    rename_nodes(graph, aten::detach, marker);
    auto frozen = torch::jit::freeze(module);
    auto ready = frozen.get_method("forward").graph();
    rename_nodes(ready, marker, aten::detach);
    follow_switches(ready);
    if (channels_last)
        lay_out_weights(ready);
    return frozen;
}

} // namespace ig_torch
