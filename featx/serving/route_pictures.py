"""Routes that take pictures: search, predictions and features."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from featx.images.sources import ImageFailure
from featx.index.ready import require_pooling
from featx.serving.bodies import read_asked
from featx.serving.described import documented
from featx.serving.network import Results
from featx.serving.predicting import predict_question, stack_vectors
from featx.serving.questions import FeaturesQuestion, PredictQuestion, SearchQuestion
from featx.serving.searching import PlannedSearch, plan_search, prepare_search
from featx.serving.service import service_of
from featx.serving.snapshot import Snapshot
from featx.serving.web import Problem, answer, refuse_only

T = TypeVar("T")
router = APIRouter(tags=["pictures"])


@router.post("/search", **documented("search"))
async def search(request: Request) -> Response:
    """Find the stored images that look most like pictures, stored images, or sums of them."""
    service = service_of(request)
    deadline = service.deadline()
    async with service.gate.enter():
        asked = await read_asked(request, SearchQuestion, deadline)
        question, snapshot = asked.check(SearchQuestion), service.current

        async def run(work: Callable[[], T]) -> T:
            """Do what takes microseconds here: going to a thread and back takes longer."""
            return work() if question.is_light else await service.run(request, work, deadline)

        prepared = await run(lambda: prepare_search(snapshot, question, asked.pictures))
        require_pooling(snapshot.index)
        plan = snapshot.search_plan
        whole = await service.compute(request, plan, prepared.whole, deadline)
        parts = await service.compute(request, plan, prepared.parts, deadline, question.crop)

        def plan_it() -> PlannedSearch:
            allowed = service.find_rows(question, snapshot)
            return plan_search(snapshot, prepared, (whole, parts), allowed)

        planned = await run(plan_it)
        results: list[Any] = []
        for some in planned.divide(deadline):
            results += await service.find(request, some)
    return answer(request, snapshot.version, planned.describe(results))


@router.post("/predict", **documented("predict"))
async def predict(request: Request) -> Response:
    """Say the classes of pictures, or of stored images, by the head."""
    service = service_of(request)
    deadline = service.deadline()
    async with service.gate.enter():
        asked = await read_asked(request, PredictQuestion, deadline)
        question, snapshot = asked.check(PredictQuestion), service.current
        computed: Results = []
        if snapshot.head_plan is not None:
            computed = await service.compute(request, snapshot.head_plan, asked.pictures, deadline)
        content = await service.run(
            request, lambda: predict_question(snapshot, question, computed), deadline
        )
    return answer(request, snapshot.version, content)


@router.post("/features", **documented("features"))
async def features(request: Request) -> Response:
    """Give the features of pictures, or of stored images, as the index compares them.

    JSON; with ``Accept: application/x-npy`` an array of NumPy, with
    ``application/vnd.apache.arrow.stream`` a table of Arrow with the columns name and vector.
    """
    service = service_of(request)
    deadline = service.deadline()
    async with service.gate.enter():
        asked = await read_asked(request, FeaturesQuestion, deadline)
        question, snapshot = asked.check(FeaturesQuestion), service.current
        _require_some(bool(asked.pictures or question.keys))
        plan = snapshot.search_plan
        computed = await service.compute(request, plan, asked.pictures, deadline)
        _refuse_only_picture(question, computed)
        accept = request.headers.get("accept", "")

        def work() -> Response:
            return _describe_features(request, accept, snapshot, question, computed)

        return await service.run(request, work, deadline)


def _describe_features(
    request: Request,
    accept: str,
    snapshot: Snapshot,
    question: FeaturesQuestion,
    computed: Results,
) -> Response:
    feature = snapshot.index.description.feature
    rows = np.array([snapshot.columns.row(key) for key in question.keys], np.int64)
    width = math.prod(feature.shape)
    stored = snapshot.store.vectors(feature.name, feature.pool, rows).reshape(len(rows), width)
    failures = [one for one in computed if isinstance(one, ImageFailure)]
    known = [one for one in computed if not isinstance(one, ImageFailure)]
    vectors = np.concatenate([stored, stack_vectors(known, feature)])
    names = [*question.keys, *(one.name for one in known)]
    headers = {"Featx-Version": snapshot.version}
    is_binary = "application/x-npy" in accept or "application/vnd.apache.arrow.stream" in accept
    if is_binary and failures:
        raise Problem(422, f"{failures[0].key} cannot be used: {failures[0].reason}.")
    if "application/x-npy" in accept:
        file = io.BytesIO()
        np.save(file, vectors.astype("<f4"))
        return Response(file.getvalue(), media_type="application/x-npy", headers=headers)
    if "application/vnd.apache.arrow.stream" in accept:
        kind = "application/vnd.apache.arrow.stream"
        return Response(_to_arrow(names, vectors), media_type=kind, headers=headers)
    content = {
        "layer": feature.name,
        "width": int(vectors.shape[1]),
        "results": [
            {"query": name, "vector": vector.astype(float).tolist()}
            for name, vector in zip(names, vectors, strict=True)
            if np.isfinite(vector).all()
        ],
        "failures": [
            *({"key": one.key, "reason": one.reason} for one in failures),
            *(
                {"key": name, "reason": "its features are NaN or infinite"}
                for name, vector in zip(names, vectors, strict=True)
                if not np.isfinite(vector).all()
            ),
        ],
    }
    return answer(request, snapshot.version, content)


def _to_arrow(names: list[str], vectors: np.ndarray) -> bytes:
    import pyarrow
    import pyarrow.ipc

    flat = pyarrow.array(vectors.astype(np.float32).reshape(-1))
    lists = pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    table = pyarrow.table({"name": pyarrow.array(names, pyarrow.string()), "vector": lists})
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _refuse_only_picture(question: FeaturesQuestion, computed: Results) -> None:
    """Refuse a request that is about one picture alone, which cannot be used."""
    if not question.keys and len(computed) == 1 and isinstance(computed[0], ImageFailure):
        refuse_only([{"key": computed[0].key, "reason": computed[0].reason}])


def _require_some(is_some: bool) -> None:
    if not is_some:
        raise Problem(422, "Send a picture, or name stored images with keys.")
