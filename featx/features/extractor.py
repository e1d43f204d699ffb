"""`Extractor` and `embed`: features as arrays, without a file."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Self, Unpack, get_args

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from featx.checks.layers import check_layers, check_pool
from featx.checks.texts import check_choice, check_text
from featx.errors import ImageError, ImagesNotFound, InvalidType, UnknownOption
from featx.features.computing import plan_features
from featx.features.embedding import compute_rows
from featx.forks import ProcessLock
from featx.images.sources import ImageFailure, Images, gather
from featx.inference import AcceleratedBackbone
from featx.inference.request import request_reading
from featx.keywords import EmbedKeywords, ExtractorKeywords
from featx.models import load_model
from featx.models.in_memory import InMemory, add_signature, check_model
from featx.models.input_contract import require_scaling
from featx.options import InputOptions, Layers, OnError, RunOptions, fill_group
from featx.poolings import POOLINGS
from featx.specs import DEFAULT_MODEL, DEFAULT_READ_POOLING, FeatureSpec
from featx.trust import GivenTrust, add_objects

_LOADING = ProcessLock()
"""Held while a model is loaded, so that threads that share an extractor load it once."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model in memory, and the parameters that it was loaded for."""

    parameters: dict[str, Any]
    backbone: AcceleratedBackbone
    features: tuple[FeatureSpec, ...]


class Extractor(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # It has no types.
    """A model and its layers, loaded once and called often: images in, arrays out.

    The features are those that `featx.extract` stores, to the last digit, where precision and
    engine are the same. An extractor may be shared by threads. It is a transformer of
    scikit-learn: it goes into a `Pipeline`, can be cloned, and is pickled without the model,
    which is loaded again from its file or name; a model in memory goes along. That is taken as it
    is at the first call: call `fit` when it has been trained further.

    Args:
        model: As for `featx.load_model`; the built-in backbone when None.
        layer: One layer or several, as for `featx.extract`; the model's last feature map when None.
        pool: How maps of shape (h, w, c) are reduced; ``none`` keeps them.
        weights: As for `featx.load_model`.
        signature: Of a SavedModel or Hub module.
        trust_model_code: See `featx.load_model`.
        custom_objects: See `featx.load_model`.
        input: How pictures become the model's pixels.
        run: How images are read and the network is run; in ``float32`` unless it says otherwise.
        on_error: What becomes of images that cannot be read: ``raise``, or ``nan`` for a row of
            NaN.
        options: Fields of `input` and `run` as keywords, such as ``img_size=(96, 96)``.

    Raises:
        UnknownOption: If an option does not exist.
        RepeatedOption: If an option is given in a group and as a keyword.

    Example:
        >>> from featx.testing import toy_model
        >>> extractor = Extractor(toy_model(), "mean")
        >>> extractor(np.zeros((2, 8, 8, 3), np.uint8)).shape
        (2, 3)
    """

    def __init__(
        self,
        model: Any = None,
        layer: Layers | None = None,
        *,
        pool: str | None = DEFAULT_READ_POOLING,
        weights: str | Path | None = None,
        signature: str | None = None,
        trust_model_code: GivenTrust = False,
        input: InputOptions | None = None,
        run: RunOptions | None = None,
        on_error: OnError = "raise",
        custom_objects: Mapping[str, Any] | None = None,
        **options: Unpack[ExtractorKeywords],
    ) -> None:
        _refuse_unknown(Extractor, options, ExtractorKeywords)
        if "layers" in options:
            if layer is not None:
                raise InvalidType("'layers' is another word for 'layer'. Leave one of them out.")
            layer = options.pop("layers")
        # A clone is given these very objects, and scikit-learn expects to find them unchanged.
        self.model = model
        self.layer = layer
        self.pool = pool
        self.weights = weights
        self.signature = signature
        self.trust_model_code = trust_model_code
        self.input = fill_group(InputOptions, input, options) if options else input
        self.run = fill_group(RunOptions, run, options) if options else run
        self.on_error = on_error
        self.custom_objects = custom_objects

    def __call__(self, images: Images) -> np.ndarray | dict[str, np.ndarray]:
        """Compute the features of images.

        Args:
            images: As for `featx.extract`. A list of paths is one image each, in the order given;
                a folder gives its images in the order of their names, as in a store.

        Returns:
            float32 (N, D) for one layer, (N, *shape) for a map that is not pooled. A dictionary of
            such arrays, by the names of the layers, if several were asked for.

        Raises:
            ImagesNotFound: If there are no images.
            ImageError: If images cannot be read and `on_error` is ``raise``: names the first.
            FeatxError: If the model cannot be loaded, as `featx.load_model`.
        """
        return self._call(images, is_only=False)

    def _call(self, images: Images, *, is_only: bool) -> np.ndarray | dict[str, np.ndarray]:
        """Compute features; `is_only` says that no other images will come."""
        arrays = self._compute(images, is_only=is_only)
        is_list = self.layer is not None and not isinstance(self.layer, (str, Integral))
        return arrays if is_list or len(arrays) > 1 else next(iter(arrays.values()))

    def fit(self, X: Images | None = None, y: object = None) -> Self:
        """Load the model, one in memory as it is now; nothing is learned from the images."""
        if isinstance(check_model("model", self.model), InMemory):
            self.__dict__.pop("_loaded", None)
        self._load()
        return self

    def transform(self, X: Images) -> np.ndarray:
        """Compute the features of images: float32 (N, D), all layers side by side.

        See `__call__`, which gives layers apart and maps in their shape.
        """
        arrays = self._compute(X)
        return np.concatenate(
            [
                values.reshape(len(values), math.prod(values.shape[1:]))
                for values in arrays.values()
            ],
            axis=1,
        )

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the D columns of `transform`, such as ``out_relu_0``."""
        return np.array(
            [
                f"{feature.name}_{column}"
                for feature in self._load().features
                for column in range(int(np.prod(feature.shape)))
            ],
            dtype=object,
        )

    def __sklearn_clone__(self) -> Self:
        """Return another one of the same parameters: a model in memory is not copied."""
        return type(self)(**self.get_params(deep=False))

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_loaded"}

    def __sklearn_tags__(self) -> Any:
        """Say that images are no table of numbers, and that there is nothing to fit."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.no_validation = True
        tags.requires_fit = False
        return tags

    def _load(self) -> _Loaded:
        """Return the model, loaded again if a parameter has changed."""
        parameters = self.get_params(deep=False)
        with _LOADING:
            loaded: _Loaded | None = vars(self).get("_loaded")
            if loaded is None or loaded.parameters != parameters:
                loaded = self._loaded = _load(self, parameters)
        return loaded

    def _compute(self, images: Images, *, is_only: bool = False) -> dict[str, np.ndarray]:
        check_choice("way to treat errors", self.on_error, get_args(OnError))
        POOLINGS.check(check_pool("pool", self.pool))
        loaded = self._load()
        run = fill_group(RunOptions, self.run, {})
        found = gather(images, scale=run.scale, in_order=True)
        if is_only and found.stream is None:
            loaded.backbone.num_images = len(found.items)
        rows = compute_rows(found, loaded.backbone, loaded.features, run, run.choose_listener(None))
        if not rows.keys:
            raise ImagesNotFound("No images were given. Name at least one folder, file or picture.")
        if not rows.failures:
            return rows.values
        if self.on_error == "raise":
            raise _describe_failures(rows.failures)
        return {name: rows.with_failures(values) for name, values in rows.values.items()}


def _load(extractor: Extractor, parameters: dict[str, Any]) -> _Loaded:
    """Load the model of an extractor, and plan its features."""
    run = fill_group(RunOptions, extractor.run, {})
    signature = check_text("signature", extractor.signature)
    model = check_model("model", extractor.model) or DEFAULT_MODEL
    backbone = load_model(
        add_signature(model, signature),
        weights=extractor.weights,
        input=extractor.input,
        trust_model_code=add_objects(extractor.trust_model_code, extractor.custom_objects),
    )
    require_scaling(backbone)
    if backbone.beginning.warning:
        warnings.warn(backbone.beginning.warning, UserWarning, stacklevel=2)
    layers = check_layers("layer", extractor.layer)
    features = plan_features(backbone, layers, check_pool("pool", extractor.pool))
    engine = request_reading(run.engine, run.precision)
    return _Loaded(parameters, AcceleratedBackbone(backbone, engine), features)


def _refuse_unknown(function: Callable[..., Any], options: Collection[str], group: type) -> None:
    """Refuse options that a function does not take."""
    known = [*list(inspect.signature(function).parameters)[:-1], *group.__annotations__]
    for name in options:
        if name not in known:
            raise UnknownOption(function.__name__, name, known)


def _describe_failures(failures: Sequence[ImageFailure]) -> ImageError:
    first = failures[0]
    more = f" ({len(failures):,} images failed)" if len(failures) > 1 else ""
    return ImageError(
        f"{first.key!r} cannot be used: {first.reason.rstrip('.')}{more}. Leave such "
        "images out, or get a row of NaN for each with on_error='nan'."
    )


def embed(
    images: Images,
    model: Any = None,
    *,
    layer: Layers | None = None,
    **options: Unpack[EmbedKeywords],
) -> np.ndarray | dict[str, np.ndarray]:
    """Compute the features of a handful of images, without a file.

    For images that come one after the other make an `Extractor`, which loads the model once; for
    a folder that will be needed again `featx.extract`, which stores what it computes.

    Args:
        images: As for `Extractor`: a path, a folder, a list of paths, arrays or Pillow images.
        model: As for `featx.load_model`; the built-in backbone when None.
        layer: One layer or several; the model's last feature map when None.
        options: The other parameters of `Extractor`, such as ``pool="max"`` or ``on_error="nan"``.

    Returns:
        float32 (N, D), in the order given; a dictionary by layer if several were asked for.

    Raises:
        ImagesNotFound: If there are no images.
        ImageError: If images cannot be read, unless ``on_error="nan"``.

    Example:
        >>> from featx.testing import toy_model
        >>> embed(np.full((1, 8, 8, 3), 255, np.uint8), model=toy_model(), layer="mean").tolist()
        [[1.0, 1.0, 1.0]]
    """
    _refuse_unknown(embed, options, EmbedKeywords)
    return Extractor(model, layer, **options)._call(images, is_only=True)
