"""Calls that type checkers take, and mistakes that they find.

mypy reads this file with the package, and would complain of an ignored error that is none. Nothing
runs it; `tests.test_public_names` gives it to pyright.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import featx


def right() -> None:
    run = featx.RunOptions(batch_size=8, workers=2)
    report: featx.ExtractReport = featx.extract(
        "photos", model="keras:MobileNetV2", run=run, prune=True, img_size=(64, 64)
    )
    featx.extract(np.zeros((2, 8, 8, 3), np.uint8), labels=["cat", "dog"], output="a.h5")
    featx.extract([("a", np.zeros((8, 8, 3), np.uint8)), ("b", np.ones((8, 8), np.uint8))])
    featx.extract({"a": b"bytes of a file"})
    featx.extract(("a", Path("a.jpg"), "cat") for _ in range(1))
    featx.extract([Path("photos"), Path("more.zip")], listener=featx.Listener())
    featx.predict("new", run=run, top=1, exclude=["*.gif"])
    featx.search("query.jpg", run=run, engine="tensorflow")
    featx.load_model("keras:MobileNetV2", preprocess="tf")
    featx.extract("photos", Path("net.keras"), layer=-2, img_size=96, pool=None, dtype=np.float16)
    featx.extract("photos", "keras:VGG19", layers="fc1", weights=Path("w.h5"), dtype=np.dtype("f2"))
    featx.extract("photos", layers=[-1, "fc1"])
    featx.embed("photos", "keras:VGG19", layers=["fc1", -2], pool="mean")
    featx.predict("new", "net.keras", layer=-1)
    featx.build_index("a.h5", layers="fc1")
    featx.fit_head("a.h5", layers="fc1")
    featx.export_store("a.h5", Path("a.npy"), layer=0, pool=None)
    featx.search("query.jpg", layers=0)
    featx.compare_scalings("photos", "net.keras", layers="fc1", img_size=96)
    featx.load_model(
        "net.keras", trust_model_code="net.py", custom_objects={"Run": featx.RunOptions}
    )
    featx.embed(["a.jpg", None], "net.keras", on_error="nan", trust_model_code=Path("net.py"))
    featx.fine_tune("photos", head="head", epochs=3, custom_objects={"Run": featx.RunOptions})
    found = featx.search("query.jpg", where=True, where_column="price < 20", scale="unit")
    print([match.box for match in found.results[0].matches], found.to_pandas())
    featx.find_duplicates("a.h5", across="b.h5", layers="fc1", verbose=2)
    print(featx.audit("a.h5", kinds=["label"], layers=-1, verbose="auto").findings)
    try:
        print(report.done, featx.open_store("a.h5").keys[0])
    except featx.errors.StoreNotFound as error:
        raise SystemExit(1) from error


def wrong() -> None:
    featx.extract("photos", bach_size=8)  # type: ignore
    featx.extract("photos", batch_size="8")  # type: ignore
    featx.extract("photos", resize="fit")  # type: ignore
    featx.extract(7)  # type: ignore
    featx.extract(3.5)  # type: ignore
    featx.extract(["photos", 3.5])  # type: ignore
    featx.extract({1: "a.jpg"})  # type: ignore
    featx.extrct("photos", modle="x")  # type: ignore
    featx.extract("photos", modle="x")  # type: ignore
    print(featx.extract("photos", output="a.h5").dome)  # type: ignore
    featx.errors.StoreNotFond("a.h5")  # type: ignore
    featx.predict("photos", prune=True)  # type: ignore
    featx.search("photos", strict=True)  # type: ignore
    featx.RunOptions(precision="float64")  # type: ignore
    featx.search("photos", where="left")  # type: ignore
    featx.embed("photos", on_error="skip")  # type: ignore
    featx.audit("a.h5", layer=0.5)  # type: ignore
