/* visual.h - the functions of intgrad._core behind GradVisualizer, for core_module.c to add. */
#ifndef INTGRAD_VISUAL_H
#define INTGRAD_VISUAL_H

#include <Python.h>

/* Ends with an empty entry; borrowed by the module, so static. */
extern PyMethodDef ig_visual_methods[];

#endif
