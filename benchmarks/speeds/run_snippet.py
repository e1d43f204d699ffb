"""VGG19 features as tutorials take them: one picture after the other through `model.predict`."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.speeds.child import list_files, read_task, report


def main() -> None:
    task = read_task()

    import keras
    import numpy as np
    from keras.applications.vgg19 import VGG19, preprocess_input
    from keras.preprocessing import image

    keras.utils.set_random_seed(0)
    base_model = VGG19(weights=None)
    model = keras.Model(
        inputs=base_model.input, outputs=base_model.get_layer(task.described.layer).output
    )

    def extract(img_path: str) -> Any:
        img = image.load_img(img_path, target_size=(224, 224))
        x = image.img_to_array(img)
        x = np.expand_dims(x, axis=0)
        x = preprocess_input(x)
        return model.predict(x, verbose=0)

    paths = list_files(task.folder)
    extract(paths[0])
    features = []
    began = time.perf_counter()
    for path in paths:
        features.append(extract(path))
    report(len(features), time.perf_counter() - began)


if __name__ == "__main__":
    main()
