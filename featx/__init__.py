"""featx: turn images into reusable features.

`extract` runs a TensorFlow model once over a folder of images and keeps the activations of
chosen layers in a feature store; `fit_head`, `build_index` and everything after it read the
store. Names are imported when first used: ``import featx`` itself imports nothing heavy.

- images to arrays: `embed`, `Extractor`; to a store: `extract`, then `open_store`
- models and their layers: `load_model`, `layers`
- classes: `fit_head`, `load_head`, `predict`
- search: `build_index`, `open_index`, `search`; of several machines: `train_index`, `merge_indexes`
- what is in a store: `find_duplicates`, `audit`, `select`, `map_features`
- over HTTP: `serve`
- stores: `verify_store`, `pack_store`, `merge_stores`, `export_store`
- stores in PyTorch, TensorFlow, Arrow, pandas: `open_dataset`
- errors: `FeatxError`, and its kinds in ``featx.errors``

``help(featx.extract)`` and the others each end with an example that runs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import featx.forks as _forks  # noqa: F401  # Watches for forks from here on.
import featx.late_names as _late_names
from featx.version import __version__ as __version__

PUBLIC_NAMES = {
    "featx.curation.auditing": ("AuditReport", "audit"),
    "featx.curation.duplicate_groups": ("DuplicateGroup", "DuplicatePicture", "DuplicatesReport"),
    "featx.curation.duplicates": ("find_duplicates",),
    "featx.curation.findings": ("Finding",),
    "featx.curation.map_clusters": ("MapCluster",),
    "featx.curation.mapping": ("MapReport", "map_features"),
    "featx.curation.selecting": ("SelectReport", "SelectedPicture", "select"),
    "featx.datasets.choosing": ("open_dataset",),
    "featx.datasets.feature_dataset": ("DatasetChoice", "FeatureDataset"),
    "featx.datasets.options": ("BatchKeywords", "BatchOptions"),
    "featx.deploy.checking": ("ExportComparison",),
    "featx.deploy.exporting": ("HeadExportReport", "export_head"),
    "featx.engines.graph": ("GraphOutput", "Layout", "NetworkGraph"),
    "featx.errors": ("FeatxError",),
    "featx.events": ("Listener", "Verbose"),
    "featx.exports.databases": ("DatabaseReport", "export_to_database"),
    "featx.exports.exporting": ("ExportReport", "export_store"),
    "featx.extraction.extracting": ("extract",),
    "featx.extraction.report": ("ExtractReport",),
    "featx.features.extractor": ("Extractor", "embed"),
    "featx.heads.choosing": ("KindTrial",),
    "featx.heads.evaluating": ("EvaluateReport", "evaluate"),
    "featx.heads.evaluation": ("Calibrated", "ClassReport", "Evaluation"),
    "featx.heads.evidence": ("Evidence",),
    "featx.heads.fitting": ("FitReport", "fit_head"),
    "featx.heads.grouping": ("NearDuplicates",),
    "featx.heads.held_out": ("AnyHeldOut", "HeldOut", "HeldOutLabels", "HeldOutNumbers"),
    "featx.heads.judging": ("AnyEvaluation",),
    "featx.heads.kinds": ("Task",),
    "featx.heads.label_evaluation": ("LabelEvaluation", "LabelReport"),
    "featx.heads.layer_choice": ("LayerTrial",),
    "featx.heads.learning_curve": ("CurvePoint",),
    "featx.heads.head": ("Head", "load_head"),
    "featx.heads.measures": ("CalibrationBin",),
    "featx.heads.number_evaluation": ("NumberEvaluation",),
    "featx.heads.operations": ("Operation",),
    "featx.heads.options": (
        "EvaluationKeywords",
        "EvaluationOptions",
        "FeatureKeywords",
        "FeatureOptions",
        "FitKeywords",
        "HeadKeywords",
        "HeadOptions",
        "TaskKeywords",
        "TaskOptions",
    ),
    "featx.heads.prediction": ("iter_predictions", "predict"),
    "featx.heads.prediction_report": ("PredictReport", "Prediction"),
    "featx.heads.prediction_stream": ("PredictionCounts", "PredictionStream"),
    "featx.heads.scaling_trial": ("ScalingTrial", "compare_scalings"),
    "featx.images.roots": ("Root", "RootKind"),
    "featx.images.sources.gathering": (
        "Array",
        "ArrowTable",
        "DataFrame",
        "Dataset",
        "Images",
        "Label",
        "Labels",
        "Location",
        "Picture",
        "PillowImage",
    ),
    "featx.images.sources.items": ("ImageFailure",),
    "featx.index.building": ("build_index",),
    "featx.index.description": ("IndexDescription", "Measured"),
    "featx.index.options": (
        "BuildKeywords",
        "IndexKeywords",
        "IndexOptions",
        "MatchKeywords",
        "MatchOptions",
        "Metric",
        "QuestionKeywords",
        "QuestionOptions",
        "SearchKeywords",
    ),
    "featx.index.kinds": ("Effort", "Space", "VectorSearch"),
    "featx.index.merging": ("merge_indexes",),
    "featx.index.ranking": ("Found",),
    "featx.index.retrieval": ("evaluate_retrieval",),
    "featx.index.retrieval_report": ("ClassRetrieval", "RetrievalReport", "RetrievalTrial"),
    "featx.index.searching": ("QueryResult", "SearchReport", "search"),
    "featx.index.shared_training": ("IndexTraining", "open_training"),
    "featx.index.train": ("train_index",),
    "featx.index.verification": ("IndexReport", "verify_index"),
    "featx.index.matches": ("Match",),
    "featx.index.opening": ("open_index",),
    "featx.index.vector_index": ("VectorIndex",),
    "featx.models.backbone": ("Backbone", "Beginning", "Described", "Layer"),
    "featx.models.listing": ("LayerTable", "layers"),
    "featx.models.loading": ("load_model",),
    "featx.keywords": (
        "CodeKeywords",
        "LoadKeywords",
        "CompareScalingsKeywords",
        "DecisionKeywords",
        "EmbedKeywords",
        "ExtractKeywords",
        "ExtractorKeywords",
        "InputKeywords",
        "LayerSynonyms",
        "EvaluateKeywords",
        "PredictKeywords",
        "RunKeywords",
        "SelectionKeywords",
        "UpdateKeywords",
    ),
    "featx.options": (
        "DecisionOptions",
        "InputOptions",
        "Layers",
        "OnError",
        "RunOptions",
        "Scale",
        "Selection",
        "UpdateOptions",
    ),
    "featx.input_spec": (
        "ChannelOrder",
        "Decode",
        "Exif",
        "Icc",
        "InputSpec",
        "Interpolation",
        "Preprocess",
        "Resize",
        "Scaling",
    ),
    "featx.serving.server": ("Server", "serve"),
    "featx.serving.settings": ("ServeKeywords", "ServerOptions"),
    "featx.specs": ("FeatureSpec", "ModelSpec", "Precision", "Quantize", "StorageType"),
    "featx.store.checking": ("Damage",),
    "featx.store.merging": ("Keep", "MergeReport", "merge_stores"),
    "featx.store.packing": ("PackReport", "pack_store"),
    "featx.store.reader": ("FeatureStore", "open_store"),
    "featx.store.reference": ("StoreReference",),
    "featx.store.rows": ("PartReference", "RowMap", "Rows"),
    "featx.store.values": ("FeatureTable", "LayerValues", "PartFiles"),
    "featx.store.verification": ("VerifyReport", "verify_store"),
    "featx.training.comparison": ("Comparison",),
    "featx.training.fine_tuning": ("FineTuneReport", "fine_tune"),
    "featx.training.options": (
        "ClassifierKeywords",
        "ClassifierOptions",
        "FineTuneKeywords",
        "FreezingKeywords",
        "FreezingOptions",
        "LessonKeywords",
        "LessonOptions",
        "Optimizer",
        "Schedule",
        "TrainingKeywords",
        "TrainingOptions",
    ),
    "featx.training.run_folder": ("Epoch",),
    "featx.trust": ("GivenTrust", "Trust"),
}
"""Module → the public names that it defines."""

_MODULES = {name: module for module, names in PUBLIC_NAMES.items() for name in names}

__all__ = [*_MODULES, "__version__"]

if TYPE_CHECKING:  # The same once more, for type checkers; a test compares the two.
    from featx import errors as errors
    from featx.curation.auditing import AuditReport as AuditReport
    from featx.curation.auditing import audit as audit
    from featx.curation.duplicate_groups import DuplicateGroup as DuplicateGroup
    from featx.curation.duplicate_groups import DuplicatePicture as DuplicatePicture
    from featx.curation.duplicate_groups import DuplicatesReport as DuplicatesReport
    from featx.curation.duplicates import find_duplicates as find_duplicates
    from featx.curation.findings import Finding as Finding
    from featx.curation.map_clusters import MapCluster as MapCluster
    from featx.curation.mapping import MapReport as MapReport
    from featx.curation.mapping import map_features as map_features
    from featx.curation.selecting import SelectedPicture as SelectedPicture
    from featx.curation.selecting import SelectReport as SelectReport
    from featx.curation.selecting import select as select
    from featx.datasets.choosing import open_dataset as open_dataset
    from featx.datasets.feature_dataset import DatasetChoice as DatasetChoice
    from featx.datasets.feature_dataset import FeatureDataset as FeatureDataset
    from featx.datasets.options import BatchKeywords as BatchKeywords
    from featx.datasets.options import BatchOptions as BatchOptions
    from featx.deploy.checking import ExportComparison as ExportComparison
    from featx.deploy.exporting import HeadExportReport as HeadExportReport
    from featx.deploy.exporting import export_head as export_head
    from featx.engines.graph import GraphOutput as GraphOutput
    from featx.engines.graph import Layout as Layout
    from featx.engines.graph import NetworkGraph as NetworkGraph
    from featx.errors import FeatxError as FeatxError
    from featx.events import Listener as Listener
    from featx.events import Verbose as Verbose
    from featx.exports.databases import DatabaseReport as DatabaseReport
    from featx.exports.databases import export_to_database as export_to_database
    from featx.exports.exporting import ExportReport as ExportReport
    from featx.exports.exporting import export_store as export_store
    from featx.extraction.extracting import extract as extract
    from featx.extraction.report import ExtractReport as ExtractReport
    from featx.features.extractor import Extractor as Extractor
    from featx.features.extractor import embed as embed
    from featx.heads.choosing import KindTrial as KindTrial
    from featx.heads.evaluating import EvaluateReport as EvaluateReport
    from featx.heads.evaluating import evaluate as evaluate
    from featx.heads.evaluation import Calibrated as Calibrated
    from featx.heads.evaluation import ClassReport as ClassReport
    from featx.heads.evaluation import Evaluation as Evaluation
    from featx.heads.evidence import Evidence as Evidence
    from featx.heads.fitting import FitReport as FitReport
    from featx.heads.fitting import fit_head as fit_head
    from featx.heads.grouping import NearDuplicates as NearDuplicates
    from featx.heads.head import Head as Head
    from featx.heads.head import load_head as load_head
    from featx.heads.held_out import AnyHeldOut as AnyHeldOut
    from featx.heads.held_out import HeldOut as HeldOut
    from featx.heads.held_out import HeldOutLabels as HeldOutLabels
    from featx.heads.held_out import HeldOutNumbers as HeldOutNumbers
    from featx.heads.judging import AnyEvaluation as AnyEvaluation
    from featx.heads.kinds import Task as Task
    from featx.heads.label_evaluation import LabelEvaluation as LabelEvaluation
    from featx.heads.label_evaluation import LabelReport as LabelReport
    from featx.heads.layer_choice import LayerTrial as LayerTrial
    from featx.heads.learning_curve import CurvePoint as CurvePoint
    from featx.heads.measures import CalibrationBin as CalibrationBin
    from featx.heads.number_evaluation import NumberEvaluation as NumberEvaluation
    from featx.heads.operations import Operation as Operation
    from featx.heads.options import EvaluationKeywords as EvaluationKeywords
    from featx.heads.options import EvaluationOptions as EvaluationOptions
    from featx.heads.options import FeatureKeywords as FeatureKeywords
    from featx.heads.options import FeatureOptions as FeatureOptions
    from featx.heads.options import FitKeywords as FitKeywords
    from featx.heads.options import HeadKeywords as HeadKeywords
    from featx.heads.options import HeadOptions as HeadOptions
    from featx.heads.options import TaskKeywords as TaskKeywords
    from featx.heads.options import TaskOptions as TaskOptions
    from featx.heads.prediction import iter_predictions as iter_predictions
    from featx.heads.prediction import predict as predict
    from featx.heads.prediction_report import Prediction as Prediction
    from featx.heads.prediction_report import PredictReport as PredictReport
    from featx.heads.prediction_stream import PredictionCounts as PredictionCounts
    from featx.heads.prediction_stream import PredictionStream as PredictionStream
    from featx.heads.scaling_trial import ScalingTrial as ScalingTrial
    from featx.heads.scaling_trial import compare_scalings as compare_scalings
    from featx.images.roots import Root as Root
    from featx.images.roots import RootKind as RootKind
    from featx.images.sources.gathering import Array as Array
    from featx.images.sources.gathering import ArrowTable as ArrowTable
    from featx.images.sources.gathering import DataFrame as DataFrame
    from featx.images.sources.gathering import Dataset as Dataset
    from featx.images.sources.gathering import Images as Images
    from featx.images.sources.gathering import Label as Label
    from featx.images.sources.gathering import Labels as Labels
    from featx.images.sources.gathering import Location as Location
    from featx.images.sources.gathering import Picture as Picture
    from featx.images.sources.gathering import PillowImage as PillowImage
    from featx.images.sources.items import ImageFailure as ImageFailure
    from featx.index.building import build_index as build_index
    from featx.index.description import IndexDescription as IndexDescription
    from featx.index.description import Measured as Measured
    from featx.index.kinds import Effort as Effort
    from featx.index.kinds import Space as Space
    from featx.index.kinds import VectorSearch as VectorSearch
    from featx.index.matches import Match as Match
    from featx.index.merging import merge_indexes as merge_indexes
    from featx.index.opening import open_index as open_index
    from featx.index.options import BuildKeywords as BuildKeywords
    from featx.index.options import IndexKeywords as IndexKeywords
    from featx.index.options import IndexOptions as IndexOptions
    from featx.index.options import MatchKeywords as MatchKeywords
    from featx.index.options import MatchOptions as MatchOptions
    from featx.index.options import Metric as Metric
    from featx.index.options import QuestionKeywords as QuestionKeywords
    from featx.index.options import QuestionOptions as QuestionOptions
    from featx.index.options import SearchKeywords as SearchKeywords
    from featx.index.ranking import Found as Found
    from featx.index.retrieval import evaluate_retrieval as evaluate_retrieval
    from featx.index.retrieval_report import ClassRetrieval as ClassRetrieval
    from featx.index.retrieval_report import RetrievalReport as RetrievalReport
    from featx.index.retrieval_report import RetrievalTrial as RetrievalTrial
    from featx.index.searching import QueryResult as QueryResult
    from featx.index.searching import SearchReport as SearchReport
    from featx.index.searching import search as search
    from featx.index.shared_training import IndexTraining as IndexTraining
    from featx.index.shared_training import open_training as open_training
    from featx.index.train import train_index as train_index
    from featx.index.vector_index import VectorIndex as VectorIndex
    from featx.index.verification import IndexReport as IndexReport
    from featx.index.verification import verify_index as verify_index
    from featx.input_spec import ChannelOrder as ChannelOrder
    from featx.input_spec import Decode as Decode
    from featx.input_spec import Exif as Exif
    from featx.input_spec import Icc as Icc
    from featx.input_spec import InputSpec as InputSpec
    from featx.input_spec import Interpolation as Interpolation
    from featx.input_spec import Preprocess as Preprocess
    from featx.input_spec import Resize as Resize
    from featx.input_spec import Scaling as Scaling
    from featx.keywords import CodeKeywords as CodeKeywords
    from featx.keywords import CompareScalingsKeywords as CompareScalingsKeywords
    from featx.keywords import DecisionKeywords as DecisionKeywords
    from featx.keywords import EmbedKeywords as EmbedKeywords
    from featx.keywords import EvaluateKeywords as EvaluateKeywords
    from featx.keywords import ExtractKeywords as ExtractKeywords
    from featx.keywords import ExtractorKeywords as ExtractorKeywords
    from featx.keywords import InputKeywords as InputKeywords
    from featx.keywords import LayerSynonyms as LayerSynonyms
    from featx.keywords import LoadKeywords as LoadKeywords
    from featx.keywords import PredictKeywords as PredictKeywords
    from featx.keywords import RunKeywords as RunKeywords
    from featx.keywords import SelectionKeywords as SelectionKeywords
    from featx.keywords import UpdateKeywords as UpdateKeywords
    from featx.models.backbone import Backbone as Backbone
    from featx.models.backbone import Beginning as Beginning
    from featx.models.backbone import Described as Described
    from featx.models.backbone import Layer as Layer
    from featx.models.listing import LayerTable as LayerTable
    from featx.models.listing import layers as layers
    from featx.models.loading import load_model as load_model
    from featx.options import DecisionOptions as DecisionOptions
    from featx.options import InputOptions as InputOptions
    from featx.options import Layers as Layers
    from featx.options import OnError as OnError
    from featx.options import RunOptions as RunOptions
    from featx.options import Scale as Scale
    from featx.options import Selection as Selection
    from featx.options import UpdateOptions as UpdateOptions
    from featx.serving.server import Server as Server
    from featx.serving.server import serve as serve
    from featx.serving.settings import ServeKeywords as ServeKeywords
    from featx.serving.settings import ServerOptions as ServerOptions
    from featx.specs import FeatureSpec as FeatureSpec
    from featx.specs import ModelSpec as ModelSpec
    from featx.specs import Precision as Precision
    from featx.specs import Quantize as Quantize
    from featx.specs import StorageType as StorageType
    from featx.store.checking import Damage as Damage
    from featx.store.merging import Keep as Keep
    from featx.store.merging import MergeReport as MergeReport
    from featx.store.merging import merge_stores as merge_stores
    from featx.store.packing import PackReport as PackReport
    from featx.store.packing import pack_store as pack_store
    from featx.store.reader import FeatureStore as FeatureStore
    from featx.store.reader import open_store as open_store
    from featx.store.reference import StoreReference as StoreReference
    from featx.store.rows import PartReference as PartReference
    from featx.store.rows import RowMap as RowMap
    from featx.store.rows import Rows as Rows
    from featx.store.values import FeatureTable as FeatureTable
    from featx.store.values import LayerValues as LayerValues
    from featx.store.values import PartFiles as PartFiles
    from featx.store.verification import VerifyReport as VerifyReport
    from featx.store.verification import verify_store as verify_store
    from featx.training.comparison import Comparison as Comparison
    from featx.training.fine_tuning import FineTuneReport as FineTuneReport
    from featx.training.fine_tuning import fine_tune as fine_tune
    from featx.training.options import ClassifierKeywords as ClassifierKeywords
    from featx.training.options import ClassifierOptions as ClassifierOptions
    from featx.training.options import FineTuneKeywords as FineTuneKeywords
    from featx.training.options import FreezingKeywords as FreezingKeywords
    from featx.training.options import FreezingOptions as FreezingOptions
    from featx.training.options import LessonKeywords as LessonKeywords
    from featx.training.options import LessonOptions as LessonOptions
    from featx.training.options import Optimizer as Optimizer
    from featx.training.options import Schedule as Schedule
    from featx.training.options import TrainingKeywords as TrainingKeywords
    from featx.training.options import TrainingOptions as TrainingOptions
    from featx.training.run_folder import Epoch as Epoch
    from featx.trust import GivenTrust as GivenTrust
    from featx.trust import Trust as Trust

else:  # Not shown to type checkers, for which every name would then exist.
    _find = _late_names.import_when_used("featx", _MODULES)

    def __getattr__(name: str) -> Any:
        return importlib.import_module("featx.errors") if name == "errors" else _find(name)


def __dir__() -> list[str]:
    return sorted([*__all__, "errors"])
