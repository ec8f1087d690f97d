"""Hydra's own tests of launchers and sweepers, on ours."""

import pytest
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize(("launcher_name", "overrides"), [("glassbox", []), ("glassbox", ["hydra/sweeper=grid"])])
class TestLauncher(LauncherTestSuite):
    """Hydra's own tests of launchers."""


@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=glassbox"])])
class TestIntegration(IntegrationTestSuite):
    """Hydra's own tests of whole programs with a launcher."""
