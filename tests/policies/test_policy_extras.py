"""INT-04: without the optional packages one is told what to install, and nothing else needs them."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


def python(program: str) -> str:
    """Run a program in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout + done.stderr).strip()


POLICY = "version: 1\\ntools: {pay: {args: {}}}\\nrules: [{id: a, tool: pay, then: allow}]"


@pytest.mark.parametrize(
    ("package", "told"),
    [
        ("yaml", "pyyaml is not installed; run: pip install 'holdfast[policy]'"),
        ("cel_expr_python", "cel-expr-python is not installed; run: pip install 'holdfast[policy]'"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str, told: str) -> None:
    """INT-04."""
    found = python(f"""
        import sys
        sys.modules[{package!r}] = None
        from holdfast.errors import MissingExtra
        from holdfast.policies import read_policies
        try:
            read_policies("{POLICY}")
        except MissingExtra as error:
            print(error)
    """)

    assert found == told


def test_a_missing_cedar_is_named_as_well() -> None:
    """INT-04."""
    found = python("""
        import sys
        sys.modules["cedarpy"] = None
        from holdfast.errors import MissingExtra
        from holdfast.policies.cedar import CedarPolicies
        try:
            CedarPolicies("", tools={})
        except MissingExtra as error:
            print(error)
    """)

    assert found == "cedarpy is not installed; run: pip install 'holdfast[cedar]'"


def test_nobody_pays_for_policies_who_has_none() -> None:
    """INT-04: the library, and its command line, load none of it."""
    found = python("""
        import sys
        import holdfast, holdfast.cli.main, holdfast.policies
        print([name for name in ("yaml", "cel_expr_python", "cedarpy", "pydantic") if name in sys.modules])
    """)

    assert found == "[]"
