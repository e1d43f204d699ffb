"""Curves of training for TensorBoard."""

from __future__ import annotations

import contextlib
from pathlib import Path

from featx.engines.tensorflow import import_tensorflow
from featx.training.run_folder import Epoch


class TensorBoardLogs:
    """Writes loss and accuracy of each epoch, under the names that Keras's callback has.

    Args:
        folder: Gets the folders ``train`` and ``validation``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, epoch: Epoch) -> None:
        """Add an epoch; where the disk is full, none."""
        curves = {
            "train": {
                "epoch_loss": epoch.loss,
                "epoch_accuracy": epoch.accuracy,
                "epoch_mean_absolute_error": epoch.error,
            },
            "validation": {
                "epoch_loss": epoch.val_loss,
                "epoch_accuracy": epoch.val_accuracy,
                "epoch_mean_absolute_error": epoch.val_error,
            },
        }
        if epoch.number:
            curves["train"]["epoch_learning_rate"] = epoch.learning_rate
        tensorflow = import_tensorflow()
        for name, values in curves.items():
            known = {key: value for key, value in values.items() if value is not None}
            if not known:
                continue
            # On a full disk there are no curves, which is no reason to end the run.
            with contextlib.suppress(tensorflow.errors.OpError):
                writer = tensorflow.summary.create_file_writer(str(self._folder / name))
                with writer.as_default():
                    for key, value in known.items():
                        tensorflow.summary.scalar(key, value, step=epoch.number)
                writer.close()
