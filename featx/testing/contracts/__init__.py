"""Contract tests: what every head, index, export format, pooling, ... must satisfy.

featx's own tests run them over everything in the registries. The author of an add-on runs the
same ones with pytest, in three lines for each kind of thing, here of a head named ``centroid``::

    @pytest.mark.parametrize("kind", ["centroid"])
    class TestHeads(HeadContract):
        pass

The name has to be in the registry: by the package's entry point, or by ``HEADS.add``.
"""
