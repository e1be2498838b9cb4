/* host_path.h - the path store in host memory, for any backend that has `gradients`.
 *
 * It cannot be an ig_path_store by itself, because it needs to know which backend to ask; so
 * `create` takes the backend too and the engine drives both kinds through ig_host_paths. All other
 * entries are those of the table.
 */
#ifndef INTGRAD_HOST_PATH_H
#define INTGRAD_HOST_PATH_H

#include "backend.h"

/* As ig_path_store.create; `backend` must outlive the store. */
ig_status ig_host_paths_create(const ig_backend *backend, ig_model *model,
                               const ig_paths_config *config, ig_paths **ret_paths,
                               ig_error *error);

/* The other entries; its `create` is NULL. */
extern const ig_path_store ig_host_paths;

#endif
