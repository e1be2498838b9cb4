"""Explanations on a cluster, by Ray Data: `pip install 'intgrad[ray]'`.

>>> rows = ray.data.read_binary_files("photos", include_paths=True)
>>> rows = rows.map_batches(
...     intgrad.distributed.Explainer,
...     fn_constructor_kwargs={"model": "xception.pt", "tolerance": 0.05, "output": "logit"},
...     batch_size=16,
...     concurrency=4,
... )
>>> rows.write_parquet("explained")
>>> for result in intgrad.read_results("explained"):
...     print(result.record["label"], result.record["error"])
"""

from .cluster import check_workers, count_workers
from .explainer import Explainer

__all__ = ["Explainer", "check_workers", "count_workers"]
