"""A contender for an interpreter with TensorFlow: the Keras example's integrated gradients.

"Model interpretability with Integrated Gradients" (A_K_Nain, keras.io), its two functions as they
stand: all points are made and preprocessed at once, then differentiated one at a time.
"""

import json
import os
import platform
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import serving
import tensorflow as tf
from keras.applications import xception

PREPROCESSED_UNIT = 127.5  # pixels; the example differentiates with respect to preprocessed ones


def get_gradients(model, img_input, top_pred_idx):
    images = tf.cast(img_input, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        preds = model(images)
        top_class = preds[:, top_pred_idx]
    return tape.gradient(top_class, images)


def get_integrated_gradients(model, img_input, top_pred_idx, num_steps):
    baseline = np.zeros(img_input.shape).astype(np.float32)
    img_input = img_input.astype(np.float32)
    interpolated_image = [
        baseline + (step / num_steps) * (img_input - baseline) for step in range(num_steps + 1)
    ]
    interpolated_image = np.array(interpolated_image).astype(np.float32)
    interpolated_image = xception.preprocess_input(interpolated_image)
    grads = []
    for img in interpolated_image:
        grad = get_gradients(model, tf.expand_dims(img, axis=0), top_pred_idx)
        grads.append(grad[0])
    grads = tf.convert_to_tensor(grads, dtype=tf.float32)
    grads = (grads[:-1] + grads[1:]) / 2.0
    avg_grads = tf.reduce_mean(grads, axis=0)
    return (img_input - baseline) * avg_grads


def at_size(model, size):
    """The same layers and weights for images of another size, which only the config states."""
    old, new = (json.dumps([None, side, side, 3]) for side in (model.input_shape[1], size))
    config = json.dumps(model.get_config()).replace(old, new)
    resized = keras.Model.from_config(json.loads(config))
    resized.set_weights(model.get_weights())
    return resized


def prepare(job):
    logits = at_size(keras.models.load_model(job["keras_file"], compile=False), job["size"])

    def model(images):
        return tf.nn.softmax(logits(images)) if job["output"] == "softmax" else logits(images)

    def explain(images, targets, points, tolerance=None):
        maps = [
            get_integrated_gradients(model, image, target, points - 1).numpy() / PREPROCESSED_UNIT
            for image, target in zip(images, targets, strict=True)
        ]
        return np.stack(maps), {"gradients": points * len(images)}

    versions = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python (tensorflow's)": platform.python_version(),
    }
    return explain, {"versions": versions}


if __name__ == "__main__":
    serving.serve(lambda: prepare(json.loads(sys.argv[2])))
