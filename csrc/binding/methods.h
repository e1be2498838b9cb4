/* methods.h - the functions of intgrad._core, for core_module.c to add.
 *
 * Each table is that of the file of its name and ends with an empty entry; the module borrows it,
 * so that it is static. The signatures that Python sees are in intgrad/_core.pyi.
 */
#ifndef INTGRAD_METHODS_H
#define INTGRAD_METHODS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyMethodDef ig_rule_methods[];        /* rules.c: nodes and weights */
extern PyMethodDef ig_model_methods[];       /* models.c: classes, scores, gradients */
extern PyMethodDef ig_curve_methods[];       /* curves.c: blur */
extern PyMethodDef ig_integration_methods[]; /* integration.c: integrate */
extern PyMethodDef ig_visual_methods[];      /* visual.c: the transforms of GradVisualizer */
extern PyMethodDef ig_xrai_methods[];        /* xrai.c: regions ranked by density */
extern PyMethodDef ig_mix_methods[];         /* mixes.c: perturbed pictures, and their scores */

#endif
