"""Which packages the repair benchmark draws from: versions, hashes, what is left out and why.

Data only. All were chosen for one property: their source distribution carries tests that
run without any other package. (That of sortedcontainers 2.4.0 carries none.)
"""

from __future__ import annotations

from meritree.bench.packages import Package

PACKAGES: tuple[Package, ...] = (
    Package(
        name="boltons",
        version="25.0.0",
        sha256="e110fbdc30b7b9868cb604e3f71d4722dd8f4dcb4a5ddd06028ba8f1ab0b5ace",
        code=("boltons",),
        tests=("tests",),
        without=("tests/conftest.py",),
        skipped=(),
    ),
    Package(
        name="cachetools",
        version="8.0.1",
        sha256="deb1d376d4d28c2f33f3e3058043b005e0af75c35c094bd54053e27d2906ad95",
        code=("src/cachetools",),
        tests=("tests",),
        pythonpath=(".", "src"),
    ),
    Package(
        name="dotmap",
        version="1.3.30",
        sha256="5821a7933f075fb47563417c0e92e0b7c031158b4c9a6a7e56163479b658b368",
        code=("dotmap",),
        tests=("dotmap/test.py",),
    ),
    Package(
        name="humanize",
        version="4.17.0",
        sha256="1d6a36c453dbfbb3f0b34601d2e0b4ce5d48d780305cd45714843f0068fde6ac",
        code=("src/humanize",),
        tests=("tests",),
        without=("tests/test_time.py", "tests/test_i18n.py", "tests/test_benchmarks.py"),
        pythonpath=(".", "src"),
    ),
    Package(
        name="idna",
        version="3.20",
        sha256="a7db850025b95ded1eae8a46181a1a6c56c92c96f0e2b005d9ff8dc0210cab44",
        code=("idna",),
        tests=("tests",),
        without=(
            "tests/test_idna_uts46.py",
            "tests/test_idna_properties.py",
            "tests/test_idna_concurrency.py",
        ),
    ),
    Package(
        name="inflection",
        version="0.5.1",
        sha256="1a29730d366e996aaacffb2f1f1cb9593dc38e2ddd30c91250c6dde09ea9b417",
        code=("inflection",),
        tests=("test_inflection.py",),
    ),
    Package(
        name="isodate",
        version="0.7.2",
        sha256="4cd1aa0f43ca76f4a6c6c0292a85f40b35ec2e43e315b59f06e6d32171a953e6",
        code=("src/isodate",),
        tests=("tests",),
        pythonpath=("src",),
    ),
    Package(
        name="more-itertools",
        version="10.8.0",
        sha256="f638ddf8a1a0d134181275fb5d58b086ead7c6a72429ad725c67503f13ba30bd",
        code=("more_itertools",),
        tests=("tests",),
        skipped=(
            "tests/test_recipes.py::PrimeFunctionTests::test_primes",
            "tests/test_more.py::DiscreteFourierTransformTests::test_roundtrip",
            "tests/test_more.py::ExtractTests::test_all_orderings",
            "tests/test_recipes.py::RunningMedianTests::test_vs_statistics_median",
            "tests/test_recipes.py::PolynomialFromRootsTests::test_large",
        ),
    ),
    Package(
        name="parse",
        version="1.22.4",
        sha256="706d458feed5a81b02768d3156e8070baf6cee7d150a3a3c0cd43101a875c3b5",
        code=("parse",),
        tests=("tests",),
    ),
    Package(
        name="roman",
        version="5.2",
        sha256="275fe9f46290f7d0ffaea1c33251b92b8e463ace23660508ceef522e7587cb6f",
        code=("src/roman",),
        tests=("src/tests.py",),
        pythonpath=("src",),
    ),
    Package(
        name="schema",
        version="0.7.8",
        sha256="e86cc08edd6fe6e2522648f4e47e3a31920a76e82cce8937535422e310862ab5",
        code=("schema", "LICENSE-MIT"),
        tests=("test_schema.py",),
    ),
    Package(
        name="semver",
        version="3.1.1",
        sha256="149b26cabada6f63212f97e94505d21578cb1d280cf714827f328d5e70765fea",
        code=("src/semver",),
        tests=("tests",),
        pythonpath=("src", "tests"),
    ),
    Package(
        name="tabulate",
        version="0.10.0",
        sha256="e2cfde8f79420f6deeffdeda9aaec3b6bc5abce947655d17ac662b126e48a60d",
        code=("tabulate",),
        tests=("test",),
    ),
    Package(
        name="tomlkit",
        version="0.15.2",
        sha256="83e32755ba1d20d9340bd069ee97e9f6232ba2346b63ffcba425de01f7e327a6",
        code=("tomlkit",),
        tests=("tests",),
    ),
    Package(
        name="toolz",
        version="1.0.0",
        sha256="2c86e3d9a04798ac556793bced838816296a2f085017664e4995cb40a1047a02",
        code=("toolz", "tlz"),
        tests=("toolz/tests",),
    ),
    Package(
        name="xmltodict",
        version="1.0.4",
        sha256="6d94c9f834dd9e44514162799d344d815a3a4faec913717a9ecbfa5be1bb8e61",
        code=("xmltodict.py",),
        tests=("tests",),
    ),
)
